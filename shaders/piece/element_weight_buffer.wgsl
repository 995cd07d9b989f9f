// `weight`: a factor for each element, f32, broadcast by its strides.
@group(0) @binding(3) var<storage, read> weight: array<f32>; // broadcasts to the input's shape

fn weight1(i: u32) -> f32 {
    return weight[i];
}
