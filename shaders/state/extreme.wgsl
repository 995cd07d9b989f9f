// The largest or smallest element (LARGEST) and its place, the first among equals; a NaN wins over any number, as in
// PyTorch.
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
    let ties = (a.seen == 2u) | (a.value == b.value);
    if (ties) {
        let earlier = (b.item_high < a.item_high) | ((b.item_high == a.item_high) & (b.item < a.item));
        return State(
            a.value, select(a.item, b.item, earlier), select(a.item_high, b.item_high, earlier), a.seen, a.ties + b.ties);
    }
    if (select((b.value < a.value), (b.value > a.value), LARGEST)) {
        return b;
    }
    return a;
}

// Four elements of which the first `count` are there.
fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    let nth = vec4<u32>(0u, 1u, 2u, 3u);
    let there = nth < vec4<u32>(count);
    let nan = there & is_nan4(x);
    let kept = select(vec4<f32>(select(-params.neg_inf, params.neg_inf, LARGEST)), x, there);
    let high = max(max(kept.x, kept.y), max(kept.z, kept.w));
    let low = min(min(kept.x, kept.y), min(kept.z, kept.w));
    let value = select(low, high, LARGEST);
    let poisoned = any(nan);
    let at = select(there & (x == vec4<f32>(value)), nan, vec4<bool>(poisoned));
    let place = select(vec4<u32>(4u), nth, at);
    let ones = select(vec4<u32>(0u), vec4<u32>(1u), at);
    let first = item + min(min(place.x, place.y), min(place.z, place.w));
    return merge(s, State(
        select(value, params.nan, poisoned), first, item_high(first), select(1u, 2u, poisoned),
        (ones.x + ones.y) + (ones.z + ones.w)));
}
