// Binary cross-entropy with logits x, targets t, and u = pos_weight:
//
//   loss = t u softplus(-x) + (1 - t) softplus(x)         since -log sigmoid(x) = softplus(-x)
//   grad = (1 - t) sigmoid(x) - t u sigmoid(-x)           since softplus'(x) = sigmoid(x)
//
// PyTorch writes (1 - t) x + (1 + (u - 1) t) softplus(-x), which is the same sum but cancels for x << 0.

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return t * u * softplus(-x) + (1.0 - t) * softplus(x);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return (1.0 - t) * sigmoid(x) - t * u * sigmoid(-x);
}
