// The sum of a workgroup that has one row at a time: its only leading lane has it.
fn tile_sum(lane: u32, mine: f32) -> f32 {
    return mine;
}
