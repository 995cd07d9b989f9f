// Operand `targets`: targets of the input's shape, f32, read four at a time. The plan chooses this only where
// every quad is aligned and whole, and the step is 1.
@group(0) @binding(2) var<storage, read> targets: array<vec4<f32>>; // (rows, cols / 4) f32

fn targets1(i: u32) -> f32 {
    return targets[i / 4u][i % 4u];
}

fn targets4(i: u32, step: u32) -> vec4<f32> {
    return targets[i / 4u];
}
