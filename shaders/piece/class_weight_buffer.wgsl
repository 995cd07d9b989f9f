// `weight`: a factor for each class.
@group(0) @binding(3) var<storage, read> weight: array<f32>; // (classes) f32

fn class_weight(label: u32) -> f32 {
    return weight[params.weight_base + label];
}
