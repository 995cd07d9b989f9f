// The parameters of driver/pair.wgsl, in elements and rows; `PairParams` in src/layout.rs is their Rust side.
struct Params {
    rows: u32,          // of the whole problem
    cols: u32,          // elements of a row
    first_tile: u32,    // this dispatch folds tiles first_tile .. end_tile
    end_tile: u32,
    groups_x: u32,      // workgroups along x, to join x and y into one index
    first_row: u32,     // the row that the windows begin with
    input_base: u32,    // where the window's first element lies in its binding
    input_stride: u32,  // from one row to the next
    second_base: u32,
    second_stride: u32,
    third_base: u32,
    third_stride: u32,
    targets_base: u32,
    targets_step: u32,  // 0: one target for all rows
    grad_input_base: u32,
    grad_input_stride: u32,
    grad_second_base: u32,
    grad_second_stride: u32,
    grad_third_base: u32,
    grad_third_stride: u32,
    loss_base: u32,
    states_base: u32,   // where the state of first_tile goes
    grad_output_base: u32,
    grad_output_step: u32, // 0: one upstream gradient for all rows
    scale: f32,         // of the reduction
    neg_inf: f32,       // WGSL has no literal for these two, and a constant bitcast is refused by some compilers
    nan: f32,
    pad0: u32,
    scalars_0_3: vec4<f32>, // the loss's own, read by their names (src/scalars.rs)
    scalars_4_7: vec4<f32>,
}
