// logsumexp along dimensions with others between them, element by element: t is the largest element, u the sum of the terms
// exp(x - t). Of nothing but -inf the gradient is 0: its share in any sum is. At +inf it is NaN, beside that 0.

fn loss(x: f32, t: f32, u: f32) -> f32 {
    if (!is_finite(t)) {
        return 1.0; // nobody looks
    }
    return exp(x - t);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    if (!is_finite(t)) {
        return select(0.0, params.nan, (x == t) & (t > 0.0));
    }
    return exp(x - t) / u;
}
