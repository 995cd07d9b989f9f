// Operand `OPERAND` and, over it, `OVER` (its gradient, or itself anew): 16-bit floats, two to a word, which
// write_half explains.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<atomic<u32>>;

fn OPERAND1(i: u32) -> f32 {
    return from_half((atomicLoad(&OPERAND[i >> 1u]) >> (16u * (i & 1u))) & 0xffffu);
}

// The two elements of a word, from an even i on.
fn OPERAND2(i: u32) -> vec2<f32> {
    let word = atomicLoad(&OPERAND[i >> 1u]);
    return from_half4(vec4<u32>(word & 0xffffu, word >> 16u, 0u, 0u)).xy;
}

// Four elements from i on, `step` apart.
fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(OPERAND1(i), OPERAND1(i + step), OPERAND1(i + 2u * step), OPERAND1(i + 3u * step));
}

fn put_OVER1(i: u32, value: f32) {
    let shift = 16u * (i & 1u);
    atomicAnd(&OPERAND[i >> 1u], 0xffff0000u >> shift); // the other half stays
    atomicOr(&OPERAND[i >> 1u], to_half(value) << shift);
}

fn put_OVER2(i: u32, value: vec2<f32>) {
    let bits = to_half4(vec4<f32>(value, 0.0, 0.0));
    atomicStore(&OPERAND[i >> 1u], bits.x | (bits.y << 16u));
}

fn put_OVER4(i: u32, step: u32, value: vec4<f32>) {
    put_OVER1(i, value.x);
    put_OVER1(i + step, value.y);
    put_OVER1(i + 2u * step, value.z);
    put_OVER1(i + 3u * step, value.w);
}
