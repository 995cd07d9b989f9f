// The depth is along rows of the input in the order of product/taking.wgsl.
fn depth_there() -> u32 {
    return min(uniforms.depth, taking());
}

fn right_row(depth: u32) -> u32 {
    return ordered_row(depth);
}
