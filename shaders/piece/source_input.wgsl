// Items are the elements of `input`, in rows that may have gaps between them. A monoid supplies push_quad.
fn push_items(s: State, item: u32, count: u32) -> State {
    let first = item - params.first_item;
    if (params.slab == 0u && count == 4u) {
        return push_quad(s, item, input4(params.base + first, 1u), 4u);
    }
    var x = vec4<f32>(0.0);
    x.x = input1(element(item));
    if (count > 1u) { x.y = input1(element(item + 1u)); }
    if (count > 2u) { x.z = input1(element(item + 2u)); }
    if (count > 3u) { x.w = input1(element(item + 3u)); }
    return push_quad(s, item, x, count);
}

fn element(item: u32) -> u32 {
    if (params.slab == 0u) {
        return params.base + (item - params.first_item);
    }
    // Modulo 2^32; the window holds the result.
    return params.base + (item / params.slab - params.first_item / params.slab) * params.stride
        + item % params.slab - params.first_item % params.slab;
}
