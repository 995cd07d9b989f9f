// The reduction's factor, known before the run.
fn reduction_scale() -> f32 {
    return params.scale;
}

fn z_scale() -> f32 {
    return params.scale;
}
