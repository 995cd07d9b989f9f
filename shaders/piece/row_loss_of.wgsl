// A row's loss, times the row's own weight.
fn weighted_loss(index: u32, row: Row, s: State) -> f32 {
    return weighed(sample_weight1(params.sample_weight_base + index - params.first_row), row_loss(row, s));
}
