// What was decided of the gradients: `Gate` in src/layout.rs.
struct Gate {
    scale: f32,   // of the loss
    tracker: u32, // steps since it changed
    found: u32,   // 1: since then, one was skipped
    goes: u32,    // 0: the step is not taken
    factor: f32,  // what gradients are multiplied by
    most: f32,    // and held to
    norm: f32,    // of all gradients: as they are, then without the scale
    skipped: u32, // steps, in all
}
