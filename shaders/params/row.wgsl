// The parameters of driver/row.wgsl and of the passes over wide rows, in elements and rows; `RowParams` in
// src/layout.rs is their Rust side.
struct Params {
    rows: u32,          // of the whole problem
    cols: u32,          // elements of a row: classes
    inner: u32,         // rows that share a slab: the product of the dimensions behind the classes
    col_stride: u32,    // from one column to the next
    first_tile: u32,    // this dispatch folds tiles first_tile .. end_tile
    end_tile: u32,
    groups_x: u32,      // workgroups along x, to join x and y into one index
    block_rows: u32,    // tiles do not cross a block
    block_tiles: u32,
    first_row: u32,     // the row that the windows of row-shaped buffers begin with
    first_slab: u32,    // the slab (index of the first dimension) that the windows of input-shaped buffers begin with
    first_inner: u32,   // and the place within the slab
    input_base: u32,    // where the window's first element lies in its binding
    input_stride: u32,  // from one slab to the next
    targets_base: u32,
    targets_stride: u32,
    grad_input_base: u32,
    grad_input_stride: u32,
    grad_targets_base: u32,
    grad_targets_stride: u32,
    loss_base: u32,
    weight_base: u32,
    grad_output_base: u32,
    grad_output_step: u32, // 0: one upstream gradient for all rows; of a map, from one slab to the next
    ignore: vec2<u32>,  // ignore_index as the two words of an i64
    scale: f32,         // of the reduction, where it is known before the run
    neg_inf: f32,       // WGSL has no literal for these two, and a constant bitcast is refused by some compilers
    nan: f32,
    states_base: u32,   // where the state of first_tile goes
    loss_stride: u32,   // of a map's results, from one slab to the next
    sample_weight_base: u32,
    rows_base: u32,     // of wide rows: where the window's first cell of row/wide.wgsl lies in its binding
    states_in_base: u32,
    merged_base: u32,
    counts_base: u32,   // where what is counted of first_tile goes
    lowest: f32,        // the most negative finite f32, and 0: see math/guard.wgsl
    zero: u32,
    block_row: u32,     // of wide rows: the row and the column that tile 0 begins with
    first_col: u32,
    order_base: u32,    // where the row of place 0 would lie in row/ordered.wgsl
    pad0: u32,
    pad1: u32,
    pad2: u32,
    scalars_0_3: vec4<f32>, // the loss's own, read by their names (src/scalars.rs)
    scalars_4_7: vec4<f32>,
}
