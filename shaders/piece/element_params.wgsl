// The parameters of driver/elementwise.wgsl; `ElementParams` in src/layout.rs is their Rust side.
// The index of an operand in `base` and `strides` is its constant in the driver.
struct Params {
    first_tile: u32,    // this dispatch folds tiles first_tile .. end_tile
    end_tile: u32,
    groups_x: u32,      // workgroups along x, to join x and y into one index
    block_tiles: u32,   // tiles do not cross a block
    block_len: u32,     // elements of a block, modulo 2^32
    last_len: u32,      // elements of a block's last tile
    first_block: u32,   // the block in which this dispatch begins
    skip: u32,          // elements of that block before this dispatch's first, modulo 2^32
    dims: u32,
    scale: f32,         // of the reduction
    nan: f32,
    states_base: u32,   // where the state of first_tile goes
    scalars_0_3: vec4<f32>, // the loss's own, read by their names (src/scalars.rs)
    scalars_4_7: vec4<f32>,
    first_place: vec2<u32>, // the number of this dispatch's first element, as two words
    faults_base: u32,   // where the fault of first_tile goes
    pad0: u32,
    base: array<vec4<u32>, 3>,     // where the element of this dispatch's origin lies in its binding
    sizes: array<vec4<u32>, 2>,    // dimensions, innermost first
    origin: array<vec4<u32>, 2>,   // coordinates of this dispatch's first element, innermost first
    strides: array<vec4<u32>, 24>, // two vectors per operand, innermost first
}
