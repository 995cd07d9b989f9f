// The reduction's factor: one over the denominator that the count of the labels left on the device.
@group(0) @binding(9) var<storage, read> control: array<u32>; // (8), as monoid/count.wgsl writes it

fn reduction_scale() -> f32 {
    return bitcast<f32>(control[0]);
}
