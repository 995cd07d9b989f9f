// max and min along dimensions with others between them, element by element: t is the extreme, u how many elements have it.
// Equals share the gradient.

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return select(0.0, 1.0, x == t);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return select(0.0, 1.0 / u, x == t);
}
