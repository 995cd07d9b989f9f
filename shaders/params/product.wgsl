// The parameters of driver/product.wgsl; `ProductParams` in src/layout.rs is their Rust side. Those below `run_stride`
// are of product/folded.wgsl alone.
struct Params {
    left_lines: u32,    // in this dispatch: the rows of the product
    right_lines: u32,   // its columns
    depth: u32,
    end_tile: u32,
    groups_x: u32,      // workgroups along x, to join x and y into one index
    left_base: u32,     // of the first element in its binding, as all bases
    left_stride: u32,   // from one line to the next, or from one depth to the next
    right_base: u32,
    right_stride: u32,
    product_base: u32,  // where folded, of the logits that are kept
    product_stride: u32,
    bias_base: u32,
    bias_step: u32,
    order_base: u32,    // of product/taking.wgsl
    first_place: u32,
    first_run: u32,     // of product/filtered.wgsl
    first_depth: u32,
    run_stride: u32,
    row_step: u32,      // rows of logits from one line to the next
    cols: u32,          // of all of a row
    first_col: u32,     // that the dispatch begins with
    first_slab: u32,    // the row of line 0
    first_row: u32,     // the same
    inner: u32,
    col_stride: u32,
    rows_base: u32,
    states_base: u32,   // of line 0 and the first tile of columns
    row_states: u32,    // from one row to the next
    weight_base: u32,   // where class 0 would lie, modulo 2^32
    targets_base: u32,
    targets_stride: u32, // from the row of one line to the next
    neg_inf: f32,
    nan: f32,
    lowest: f32,        // the most negative finite f32, and 0: see math/guard.wgsl
    zero: u32,
    pad0: u32,
    scalars_0_3: vec4<f32>, // the loss's own, read by their names (src/scalars.rs)
    scalars_4_7: vec4<f32>,
}
