// The rows of the product go to those of the input in the order of product/taking.wgsl.
fn lines_there() -> u32 {
    return min(uniforms.left_lines, taking());
}

fn product_row(row: u32) -> u32 {
    return ordered_row(row);
}
