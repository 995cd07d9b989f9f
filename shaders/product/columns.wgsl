// Operand `OPERAND` of a product, whose lines lie across the depth, one beside the other: neighbours among the lanes
// bring neighbouring quads of lines. What lies beyond the depth is 0; what stands in the place of lines beyond the last
// is not used.
fn OPERAND_line(block: u32) -> u32 {
    return 4u * (block % OPERAND_quads);
}

fn OPERAND_place(block: u32) -> u32 {
    return 4u * (block / OPERAND_quads);
}

// Where a place of the depth lies among those in memory.
// default
fn OPERAND_row(depth: u32) -> u32 {
    return depth;
}

fn OPERAND_beside(line: u32, depth: u32) -> vec4<f32> {
    let own = min(line, (params.OPERAND_lines - 1u) & ~3u);
    let at = params.OPERAND_base + OPERAND_row(min(depth, params.depth - 1u)) * params.OPERAND_stride + own;
    return select(vec4<f32>(), OPERAND4(at, 1u), depth < params.depth);
}

fn OPERAND_block(line: u32, depth: u32) -> Block {
    return Block(array<vec4<f32>, 4>(
        OPERAND_beside(line, depth), OPERAND_beside(line, depth + 1u), OPERAND_beside(line, depth + 2u),
        OPERAND_beside(line, depth + 3u)));
}
