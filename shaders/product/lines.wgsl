// Operand `OPERAND` of a product, whose lines lie along the depth: neighbours among the lanes bring neighbouring quads
// of a line. Lines beyond the last are the last, what lies beyond the depth is 0.
fn OPERAND_line(block: u32) -> u32 {
    return 4u * (block / SLAB);
}

fn OPERAND_place(block: u32) -> u32 {
    return 4u * (block % SLAB);
}

// Where a line lies among those in memory.
// default
fn OPERAND_row(line: u32) -> u32 {
    return line;
}

fn OPERAND_along(line: u32, depth: u32) -> vec4<f32> {
    let at = params.OPERAND_base + OPERAND_row(min(line, params.OPERAND_lines - 1u)) * params.OPERAND_stride;
    let within = vec4<u32>(depth) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.depth);
    return select(vec4<f32>(), OPERAND4(at + min(depth, (params.depth - 1u) & ~3u), 1u), within);
}

fn OPERAND_block(line: u32, depth: u32) -> Block {
    let a = OPERAND_along(line, depth);
    let b = OPERAND_along(line + 1u, depth);
    let c = OPERAND_along(line + 2u, depth);
    let d = OPERAND_along(line + 3u, depth);
    return Block(array<vec4<f32>, 4>(
        vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y), vec4<f32>(a.z, b.z, c.z, d.z),
        vec4<f32>(a.w, b.w, c.w, d.w)));
}
