// Items are the states that an earlier level, or another driver's tiles, left behind.
@group(0) @binding(10) var<storage, read> states_in: array<State>; // (items) State

fn push_items(s: State, item: u32, count: u32) -> State {
    let at = params.base + item - params.first_item;
    var low = states_in[at];
    if (count > 1u) { low = merge(low, states_in[at + 1u]); }
    var high = identity();
    if (count > 2u) { high = states_in[at + 2u]; }
    if (count > 3u) { high = merge(high, states_in[at + 3u]); }
    return merge(s, merge(low, high));
}
