// Items are the weights of rows that are all kept, for state/count.wgsl.
fn push_items(s: State, item: u32, count: u32) -> State {
    var t = identity();
    for (var k = 0u; k < count; k++) {
        let w = sample_weight1(params.sample_weight_base + item + k - params.first_item);
        t = merge(t, State(w, w, 1u, 0u, 0u, 0xffffffffu, 0u, 0u));
    }
    return merge(s, t);
}
