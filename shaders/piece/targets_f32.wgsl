// Operand `targets`: targets of the input's shape, f32, read element by element.
@group(0) @binding(2) var<storage, read> targets: array<f32>; // (rows, cols) f32

fn targets1(i: u32) -> f32 {
    return targets[i];
}

// Four elements from i on, `step` apart.
fn targets4(i: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(targets[i], targets[i + step], targets[i + 2u * step], targets[i + 3u * step]);
}
