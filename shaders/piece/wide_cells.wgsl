// What the passes over wide rows hand on, in cells of sizes that no loss changes; src/plan/rows/wide.rs knows them.

// A row as its label's tile saw it, and the weight of the label's class, 0 where there is none: piece/label_weight_opened.wgsl
// reads that as the last word.
struct Opened {
    @size(28) row: Row,
    weight: f32,
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
