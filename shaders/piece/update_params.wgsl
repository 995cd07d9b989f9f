// The parameters of driver/update.wgsl; `UpdateParams` in src/layout.rs is their Rust side.
struct Params {
    tiles: u32,       // of this dispatch
    groups_x: u32,    // workgroups along x, to join x and y into one index
    len: u32,         // elements of this dispatch
    param_base: u32,  // where the first of them lies in each binding
    grad_base: u32,
    moment_base: u32,
    square_base: u32,
    peak_base: u32,
    scalars_0_3: vec4<f32>, // the optimizer's own, read by their names (src/scalars.rs)
    scalars_4_7: vec4<f32>,
}
