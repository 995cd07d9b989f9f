// What the passes over wide rows hand on, in cells of sizes that no loss changes; src/plan/rows/wide.rs knows them.

// A row as its label's tile saw it.
struct Opened {
    @size(32) row: Row,
}

// The columns of a tile.
struct Folded {
    @size(32) state: State,
}

// All of a row.
struct Merged {
    @size(32) state: State,
    @size(28) slope: Slope,
    scale: f32,
}
