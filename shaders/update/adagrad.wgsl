// Adagrad, of parameter p, gradient g and the sum s of its squares:
//
//   g = -g                        if maximize
//   g = g + weight_decay p        if there is one
//   s = s + begin + g^2           begin = initial_accumulator_value of a sum that is not there yet, else 0
//   p = p - rate g / (sqrt(s) + eps)
//
// rate = lr / (1 + (t - 1) lr_decay) of step t comes from the host. Where t is COUNTED on the device, it is lr, and
// `begin` is for the first step.

fn update(old: Element, grad: vec4<f32>) -> Element {
    var next = old;
    var g = select(grad, -grad, MAXIMIZES);
    if (DECAYS) {
        g += weight_decay() * old.param;
    }
    var first = begin();
    var size = rate();
    if (COUNTED) {
        first = select(0.0, first, taken == params.first);
        size /= 1.0 + f32(taken) * lr_decay();
    }
    next.moment = old.moment + first + g * g;
    next.param = old.param - size * g / (sqrt(next.moment) + eps());
    return next;
}
