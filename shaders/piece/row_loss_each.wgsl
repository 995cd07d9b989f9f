// Reduction none: each row's loss is an output.
@group(0) @binding(6) var<storage, read_write> loss_out: array<f32>; // (rows) f32

fn put_row_loss(tile: u32, lane: u32, row: u32, live: bool, leads: bool, loss: f32) {
    if (live && leads) {
        loss_out[params.loss_base + (row - params.first_row)] = loss;
    }
}
