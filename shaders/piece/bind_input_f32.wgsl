// The logits, only read.
@group(0) @binding(1) var<storage, read> input: array<f32>; // (rows, cols) f32
