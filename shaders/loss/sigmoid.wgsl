// The logistic function as a map:
//
//   value = 1 / (1 + exp(-x))
//   grad  = value (1 - value) = sigmoid(x) sigmoid(-x), where nothing cancels

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return sigmoid(x);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return sigmoid(x) * sigmoid(-x);
}
