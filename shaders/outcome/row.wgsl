// What becomes of a row's loss where nobody else says so: nothing. See outcome/README.md.

// Takes the loss of a row in; every lane of a workgroup comes here, `leads` is one of each row.
// default
fn put_row(tile: u32, lane: u32, index: u32, live: bool, leads: bool, row: Row, s: State) {}

// Once all rows of a tile are taken in.
// default
fn put_tile(tile: u32, lane: u32) {}

// A row's loss, times the row's own weight.
// default
fn weighted_loss(index: u32, row: Row, s: State) -> f32 {
    return weighed(sample_weight1(params.sample_weight_base + index - params.first_row), row_loss(row, s));
}

// Counts the class target of a row; `is_there` on one lane of each.
// default
fn count_row(row: Row, index: u32, is_there: bool) {}

// Writes what was counted.
// default
fn put_counts(tile: u32, lane: u32) {}

// The record of a row: its loss, and the statistics that the same pass over the logits has found.
struct Record {
    loss: f32,
    z_loss: f32,
    lse: f32,
    entropy: f32,
    correct: f32, // 1 where a row kept has its class as arg-max
    top: u32,     // the arg-max
    pad0: u32,
    pad1: u32,
}
