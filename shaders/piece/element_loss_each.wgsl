// Reduction none: each element's loss is an output.
@group(0) @binding(6) var<storage, read_write> loss_out: array<f32>; // (elements) f32

fn put_loss(e: u32, count: u32, l: vec4<f32>) {
    let at = base_of(LOSS) + e;
    loss_out[at] = l.x;
    if (count > 1u) { loss_out[at + 1u] = l.y; }
    if (count > 2u) { loss_out[at + 2u] = l.z; }
    if (count > 3u) { loss_out[at + 3u] = l.w; }
}

fn put_tile_loss(tile: u32, lane: u32, total: f32) {}
