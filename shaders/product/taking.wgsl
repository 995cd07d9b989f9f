// Rows of the input in the order of driver/order_place.wgsl, where those that take part come first: how many do from
// this dispatch's first place on, and which they are.
@group(0) @binding(33) var<storage, read> order: array<u32>; // u32: how many, then (rows) u32

fn taking() -> u32 {
    return max(order[uniforms.order_base], uniforms.first_place) - uniforms.first_place;
}

// The row at a place of this dispatch.
fn ordered_row(place: u32) -> u32 {
    return order[params.order_base + 1u + params.first_place + place];
}
