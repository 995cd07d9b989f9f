// Reduction none: each element's loss is an output, and there is no sum.
fn put_tile_loss(tile: u32, lane: u32, total: f32) {}
