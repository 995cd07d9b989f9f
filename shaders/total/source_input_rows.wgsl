// Items are the elements of `input`, in rows with gaps between them. A state supplies push_quad.
fn push_items(s: State, item: u32, count: u32) -> State {
    var x = vec4<f32>(0.0);
    x.x = input1(element(item));
    if (count > 1u) { x.y = input1(element(item + 1u)); }
    if (count > 2u) { x.z = input1(element(item + 2u)); }
    if (count > 3u) { x.w = input1(element(item + 3u)); }
    return push_quad(s, item, x, count);
}

// Modulo 2^32; the window holds the result.
fn element(item: u32) -> u32 {
    return params.base + (item / params.slab - params.first_item / params.slab) * params.stride
        + item % params.slab - params.first_item % params.slab;
}
