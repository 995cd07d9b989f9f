// How lanes merge what they have, where nobody else says so: one lane has all of it. See lanes/README.md.

// The state of a row, from those of its lanes.
// default
fn tree(lane: u32, mine: State) -> State {
    return mine;
}

// The sum of what the lanes of a workgroup that lead have: of one row at a time, its only leading lane has it.
// default
fn tile_sum(lane: u32, mine: f32) -> f32 {
    return mine;
}

// The counts of class targets, likewise.
// default
fn tile_counts(lane: u32, mine: vec4<u32>) -> vec4<u32> {
    return mine;
}
