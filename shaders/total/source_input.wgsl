// Items are the elements of `input`, without gaps. A state supplies push_quad.
fn push_four(s: State, item: u32) -> State {
    return push_quad(s, item, input4(params.base + (item - params.first_item), 1u), 4u);
}

fn push_items(s: State, item: u32, count: u32) -> State {
    let at = params.base + (item - params.first_item);
    var x = vec4<f32>(0.0);
    x.x = input1(at);
    if (count > 1u) { x.y = input1(at + 1u); }
    if (count > 2u) { x.z = input1(at + 2u); }
    if (count > 3u) { x.w = input1(at + 3u); }
    return push_quad(s, item, x, count);
}
