// The logit of one column of a row, as the loss sees it.
fn column1(input_at: u32, column: u32) -> f32 {
    return mapped1(input1(input_at + column * col_step()));
}
