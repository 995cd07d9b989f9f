// The logits, only read.
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>; // (rows, cols / 4) f32
