// Operand `OPERAND`: f32, read element by element.
@group(0) @binding(SLOT) var<storage, read> OPERAND: array<f32>;

fn OPERAND1(i: u32) -> f32 {
    return OPERAND[i];
}

// Four elements from i on, `step` apart.
fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(OPERAND[i], OPERAND[i + step], OPERAND[i + 2u * step], OPERAND[i + 3u * step]);
}
