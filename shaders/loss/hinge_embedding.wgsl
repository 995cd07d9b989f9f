// Hinge embedding loss of distances x, with targets t of 1 (similar) or -1 (dissimilar):
//
//   loss = x where t = 1,   max(0, margin - x) where t = -1,   their sum max(x, margin) for any other t
//   grad = 1 for the first, -1 for the second where margin > x

fn loss(x: f32, t: f32, u: f32) -> f32 {
    let other = select(max(x, margin()), max(margin() - x, 0.0), t == -1.0);
    return select(other, x, t == 1.0);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return select(1.0, 0.0, t == -1.0) - select(0.0, 1.0, (t != 1.0) & (margin() > x));
}
