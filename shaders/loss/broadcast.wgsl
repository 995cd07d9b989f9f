// An operand as it is, in the shape that it broadcasts to.

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return x;
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return 1.0;
}
