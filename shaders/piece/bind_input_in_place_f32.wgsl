// The logits, in memory that also takes the gradient: one binding, because a dispatch may not bind a buffer
// once for reading and again for writing.
@group(0) @binding(1) var<storage, read_write> input: array<f32>; // (rows, cols) f32
