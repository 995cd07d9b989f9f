// The logits, in memory that also takes the gradient, as in bind_input_in_place_f32.
@group(0) @binding(1) var<storage, read_write> input: array<vec4<f32>>; // (rows, cols / 4) f32
