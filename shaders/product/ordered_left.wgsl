// The lines of `left` are rows of the input in the order of product/taking.wgsl; where all are folded (ALL), all take
// part.
fn lines_there() -> u32 {
    if (ALL) {
        return uniforms.left_lines;
    }
    return min(uniforms.left_lines, taking());
}

fn left_row(line: u32) -> u32 {
    return ordered_row(line);
}
