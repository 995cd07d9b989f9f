// Probability targets of cross_entropy: no class stands apart, all of b is the coefficient q.
fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    if (STATS_GRADS) {
        return Row(KEPT, 0xffffffffu, 0.0, 0.0, targets_at(slab, inner), 0.0, 0.0);
    }
    return Row(KEPT, 0xffffffffu, 0.0, 0.0, targets_at(slab, inner));
}

fn probabilities4(row: Row, column: u32, count: u32) -> vec4<f32> {
    let step = target_step();
    let at = row.targets_at + column * step;
    if (count == 4u) {
        return targets4(at, step);
    }
    return vec4<f32>(
        targets1(at),
        targets1(at + min(1u, count - 1u) * step),
        targets1(at + min(2u, count - 1u) * step),
        0.0,
    );
}

// d loss / d p_c = (1 - label_smoothing) w_c (lse - x_c)
fn row_grad_target(row: Row, s: State, column: u32, x: f32) -> f32 {
    if (is_poisoned(s)) {
        return params.nan;
    }
    let factor = (1.0 - label_smoothing()) * class_weight(column);
    return select(factor * ((s.peak - x) + log1p(s.rest)), 0.0, is_zero(factor));
}
