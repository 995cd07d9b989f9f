// Stochastic gradient descent with momentum, of parameter p, gradient g and momentum buffer b:
//
//   g = -g                        if maximize
//   g = g + weight_decay p        if there is one
//   b = keep b + take g           if there is momentum; keep = momentum and take = 1 - dampening, but 0 and 1 at first
//   g = g + momentum b            if nesterov, else b
//   p = p - lr g
//
// Where steps are COUNTED on the device, the first is told there.

fn update(old: Element, grad: vec4<f32>) -> Element {
    var next = old;
    var g = select(grad, -grad, MAXIMIZES);
    if (DECAYS) {
        g += weight_decay() * old.param;
    }
    if (HAS_MOMENTUM) {
        var kept = keep();
        var taking = take();
        if (COUNTED) {
            let first = taken == params.first;
            kept = select(kept, 0.0, first);
            taking = select(taking, 1.0, first);
        }
        next.moment = kept * old.moment + taking * g;
        g = select(next.moment, g + momentum() * next.moment, NESTEROV);
    }
    next.param = old.param - lr() * g;
    return next;
}
