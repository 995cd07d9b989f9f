// The rows of the product are in the order of product/taking.wgsl.
fn lines_there() -> u32 {
    return min(uniforms.left_lines, taking());
}
