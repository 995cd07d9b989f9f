// The sums of a product go to `product`, in f32. They begin with what is there (ADDS), and end with the bias of their
// column (BIASED).

// Where a row lies in `product`.
// default
fn product_row(row: u32) -> u32 {
    return row;
}

// Where four elements begin in `product`; those beyond the last row are in the last.
fn product_at(row: u32, col: u32) -> u32 {
    return params.product_base + product_row(min(row, uniforms.left_lines - 1u)) * params.product_stride + col;
}

fn first_of(row: u32, col: u32) -> vec4<f32> {
    if (ADDS) {
        if (col + 4u <= params.right_lines) {
            return product4(product_at(row, col), 1u);
        }
        let last = params.right_lines - 1u;
        return vec4<f32>(
            product1(product_at(row, min(col, last))), product1(product_at(row, min(col + 1u, last))),
            product1(product_at(row, min(col + 2u, last))), product1(product_at(row, min(col + 3u, last))));
    }
    return vec4<f32>();
}

// A row that takes no part is 0.
fn put_sum(row: u32, col: u32, own: vec4<f32>) {
    let takes_part = row < params.left_lines;
    if ((row >= uniforms.left_lines) | (col >= params.right_lines) | (ADDS & !takes_part)) {
        return;
    }
    let at = product_at(row, col);
    let sum = select(vec4<f32>(0.0), own, takes_part);
    if (col + 4u <= params.right_lines) {
        put_product4(at, 1u, sum);
        return;
    }
    put_product1(at, sum.x);
    if (col + 1u < params.right_lines) {
        put_product1(at + 1u, sum.y);
    }
    if (col + 2u < params.right_lines) {
        put_product1(at + 2u, sum.z);
    }
}

fn end_sums(lane: u32, row: u32, col: u32, down: u32, across: u32) {
    for (var r = 0u; r < LINES; r++) { // unrolled
        for (var j = 0u; j < ACROSS; j++) { // unrolled
            let own_col = col + 4u * (across + j * LANES_ACROSS);
            put_sum(row + line_of(down, r), own_col, with_bias(sums[r][j], own_col));
        }
    }
}
