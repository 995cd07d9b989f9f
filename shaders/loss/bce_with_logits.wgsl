// Binary cross-entropy with logits x, targets t, and u = pos_weight:
//
//   loss = t u softplus(-x) + (1 - t) softplus(x)         since -log sigmoid(x) = softplus(-x)
//   grad = (1 - t) sigmoid(x) - t u sigmoid(-x)           since softplus'(x) = sigmoid(x)
//   grad_t = u softplus(-x) - softplus(x) = u max(-x, 0) - max(x, 0) + (u - 1) log(1 + exp(-|x|))
//
// PyTorch writes (1 - t) x + (1 + (u - 1) t) softplus(-x), which is the same sum but cancels for x << 0.

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return logit_cost(x, t * u, 1.0 - t);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return logit_slope(x, t * u, 1.0 - t);
}

// The part that both softplus share is subtracted before it is rounded: for u = 1, -x is left.
fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return (u * max(-x, 0.0) - max(x, 0.0)) + (u - 1.0) * log1p_unit(exp(-abs(x)));
}
