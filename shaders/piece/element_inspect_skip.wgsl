// The input may hold any number.
fn inspect_input(e: u32, count: u32, x: vec4<f32>) {}
fn put_tile_fault(tile: u32, lane: u32) {}
