// The logarithm of the logistic function as a map:
//
//   value = log(1 / (1 + exp(-x))) = -softplus(-x)
//   grad  = sigmoid(-x)

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return -softplus(-x);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return sigmoid(-x);
}
