// The gradients of a row's log-sum-exp and entropy H by its logits, for upstream gradients of their own (STATS_GRADS):
//
//   d lse / d x_c = p_c,   p_c = exp(x_c - peak) / (1 + rest)
//   d H / d x_c   = -p_c (log p_c + H) = p_c ((peak - x_c) - heat / (1 + rest))
//
// since log p_c = x_c - peak - log1p(rest), and H has the same log1p: no logarithm is left, and nothing large cancels.
// A loss whose rows may have such gradients keeps what they come to in its `Row`: with e = exp(x_c - peak),
//
//   of_p e + of_heat e (peak - x_c)
//
// The upstream gradients are those of driver/upstream.wgsl: three numbers to a row.
fn with_stats_grads(row: Row, index: u32, s: State) -> Row {
    let at = params.grad_output_base + (index - params.first_row) * params.grad_output_step;
    let by_lse = grad_output1(at + 1u);
    let by_entropy = grad_output1(at + 2u);
    let share = 1.0 / (1.0 + s.rest);
    var r = row;
    r.of_p = share * (by_lse - by_entropy * (share * s.heat));
    r.of_heat = share * by_entropy;
    // A row without probabilities has no gradients, but where none are asked for.
    let nothing = is_zero(by_lse) & is_zero(by_entropy);
    r.of_p = select(select(r.of_p, params.nan, is_poisoned(s)), 0.0, nothing);
    r.of_heat = select(select(r.of_heat, params.nan, is_poisoned(s)), 0.0, nothing);
    return r;
}

fn stats_grad4(row: Row, peak: f32, x: vec4<f32>) -> vec4<f32> {
    // Where e is 0, also of a logit of -inf.
    let step = min(vec4<f32>(peak) - x, vec4<f32>(128.0));
    let e = exp(-step);
    let nothing = is_zero(row.of_p) & is_zero(row.of_heat);
    return select(e * row.of_p + (e * step) * row.of_heat, vec4<f32>(0.0), nothing);
}
