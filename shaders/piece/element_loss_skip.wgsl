// The losses are not wanted.
fn put_loss(e: u32, count: u32, l: vec4<f32>) {}
fn put_tile_loss(tile: u32, lane: u32, total: f32) {}
