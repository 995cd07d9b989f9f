// Rows in the order of driver/order_place.wgsl, where those of the input that take part come first: `inner` rows of
// logits to each.
@group(0) @binding(33) var<storage, read> order: array<u32>; // u32: how many take part, then (rows) u32

fn row_at(place: u32) -> u32 {
    let own = place - params.first_row;
    return order[params.order_base + 1u + own / params.inner] * params.inner + own % params.inner;
}

// Rows that take no part have no state, but where all are folded (ALL).
fn is_folded(place: u32) -> bool {
    return ALL | ((place - params.first_row) / params.inner < order[params.order_base]);
}
