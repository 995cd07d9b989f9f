// The third operand (pos_weight), f32, broadcast by its strides.
@group(0) @binding(4) var<storage, read> third: array<f32>; // broadcasts to the input's shape

fn third1(i: u32) -> f32 {
    return third[i];
}
