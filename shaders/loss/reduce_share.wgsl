// The gradient of a sum along dimensions with others between them: 1; of a mean 1 / n, which comes in the params.

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return 0.0; // driver/row.wgsl folds
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return share();
}
