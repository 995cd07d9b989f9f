// Items are the states that an earlier level, or another driver's tiles, left behind.
@group(0) @binding(10) var<storage, read> states_in: array<State>; // (items) State

fn push_items(s: State, item: u32, count: u32) -> State {
    let at = params.base + item - params.first_item;
    var t = merge(s, states_in[at]);
    if (count > 1u) { t = merge(t, states_in[at + 1u]); }
    if (count > 2u) { t = merge(t, states_in[at + 2u]); }
    if (count > 3u) { t = merge(t, states_in[at + 3u]); }
    return t;
}
