// The record of a row of cross_entropy: statistics of the logits, after the soft cap, of ignored rows too.
fn row_record(row: Row, s: State, loss: f32, weight: f32) -> Record {
    let poisoned = is_poisoned(s);
    let entropy = log1p(s.rest) + s.heat / (1.0 + s.rest);
    return Record(
        loss,
        weighed(weight, select(z_loss_of(row, s), params.nan, row.kind == BAD)),
        log_sum_exp(s),
        select(entropy, params.nan, poisoned),
        select(0.0, 1.0, (row.kind == KEPT) & (s.top == row.label)),
        // NaN is nowhere at the peak: such a row has the first class
        select(s.top, 0u, s.top == 0xffffffffu),
        0u,
        0u,
    );
}
