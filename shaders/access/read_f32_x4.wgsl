// Operand `OPERAND`: f32, read four at a time. The plan chooses this only where every quad is aligned and whole, and
// the step is 1.
@group(0) @binding(SLOT) var<storage, read> OPERAND: array<vec4<f32>>;

fn OPERAND1(i: u32) -> f32 {
    return OPERAND[i >> 2u][i & 3u];
}

fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return OPERAND[i >> 2u];
}
