// The largest or smallest element (LARGEST) and its place, the first among equals; a NaN wins over any number, as in
// PyTorch. extreme_value and extreme_index say which of the two is the result.
struct State {
    value: f32,
    item: u32,      // its number, of 64 bits
    item_high: u32,
    seen: u32, // 0: nothing yet, 1: a number, 2: a NaN
    ties: u32, // how many elements of a row have the value
}

fn identity() -> State {
    return State(0.0, 0u, 0u, 0u, 0u);
}

fn merge(a: State, b: State) -> State {
    if (a.seen != b.seen) {
        if (b.seen > a.seen) {
            return b;
        }
        return a;
    }
    let ties = a.seen == 2u || a.value == b.value;
    if (ties) {
        let earlier = b.item_high < a.item_high || (b.item_high == a.item_high && b.item < a.item);
        return State(
            a.value, select(a.item, b.item, earlier), select(a.item_high, b.item_high, earlier), a.seen, a.ties + b.ties);
    }
    if (select((b.value < a.value), (b.value > a.value), LARGEST)) {
        return b;
    }
    return a;
}

fn push_one(s: State, item: u32, x: f32) -> State {
    return merge(s, State(x, item, item_high(item), select(1u, 2u, is_nan(x)), 1u));
}

// Four elements of which the first `count` are there.
fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    var t = push_one(s, item, x.x);
    if (count > 1u) { t = push_one(t, item + 1u, x.y); }
    if (count > 2u) { t = push_one(t, item + 2u, x.z); }
    if (count > 3u) { t = push_one(t, item + 3u, x.w); }
    return t;
}
