// Output `OPERAND`: 16-bit floats, written four at a time, under the same condition as read_f32_x4, or added in f32 to
// what is there (ADDS): every quad owns its words, and there is nothing to write one by one.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<vec2<u32>>;

fn put_OPERAND1(i: u32, value: f32) {}

fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {
    var sum = value;
    if (ADDS_OPERAND) {
        sum = from_words(OPERAND[i >> 2u]) + value;
    }
    OPERAND[i >> 2u] = to_words(sum);
}
