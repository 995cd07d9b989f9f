// The upstream gradient, f32, broadcast by its strides.
@group(0) @binding(5) var<storage, read> grad_output: array<f32>; // broadcasts to the input's shape

fn grad_output1(i: u32) -> f32 {
    return grad_output[i];
}
