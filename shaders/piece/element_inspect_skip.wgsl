// The input may hold any number, or was inspected before.
fn glance(x: vec4<f32>) {}
fn put_tile_fault(tile: u32, lane: u32, start: u32, len: u32) {}
