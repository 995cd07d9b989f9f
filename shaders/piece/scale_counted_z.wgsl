// The factor of the z-loss by itself.
@group(0) @binding(9) var<storage, read> control: array<u32>; // (10), as monoid/count.wgsl writes it

fn reduction_scale() -> f32 {
    return bitcast<f32>(control[8]);
}
