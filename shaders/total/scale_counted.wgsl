// The reduction's factors: one over the denominators that the count of the labels left on the device. FACTOR is the
// word of the one that is wanted: 0, or 8 for the z-loss by itself.
@group(0) @binding(9) var<storage, read> control: array<u32>; // (10), as state/count.wgsl writes it

fn reduction_scale() -> f32 {
    return bitcast<f32>(control[FACTOR]);
}

// Of the z-loss, to which the classes' weights do not apply.
fn z_scale() -> f32 {
    return bitcast<f32>(control[8]);
}
