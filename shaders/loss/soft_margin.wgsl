// Soft margin loss of scores x and targets t of 1 or -1:
//
//   loss = log(1 + exp(-t x)) = softplus(-t x)
//   grad = -t sigmoid(-t x)

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return softplus(-t * x);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return -t * sigmoid(-t * x);
}
