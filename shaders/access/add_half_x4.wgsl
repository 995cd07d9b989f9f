// Output `OPERAND`: 16-bit floats, added in f32 four at a time to what is there, under the same condition as
// write_half_x4.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<vec2<u32>>;

fn put_OPERAND1(i: u32, value: f32) {}

fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {
    let old = from_half4(split_half(OPERAND[i >> 2u]));
    OPERAND[i >> 2u] = join_half(to_half4(old + value));
}
