// Output `OPERAND`: 16-bit floats, added in f32 to what is there. Halves of a word as in write_half.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<atomic<u32>>;

fn put_OPERAND1(i: u32, value: f32) {
    let shift = 16u * (i & 1u);
    let old = from_half((atomicLoad(&OPERAND[i >> 1u]) >> shift) & 0xffffu);
    atomicAnd(&OPERAND[i >> 1u], 0xffff0000u >> shift); // the other half stays
    atomicOr(&OPERAND[i >> 1u], to_half(old + value) << shift);
}

// Four elements from i on, `step` apart.
fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {
    put_OPERAND1(i, value.x);
    put_OPERAND1(i + step, value.y);
    put_OPERAND1(i + 2u * step, value.z);
    put_OPERAND1(i + 3u * step, value.w);
}
