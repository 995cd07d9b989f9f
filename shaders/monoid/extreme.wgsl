// The largest or smallest element (LARGEST) and its place, the first among equals; a NaN wins over any number, as in
// PyTorch. extreme_value and extreme_index say which of the two is the result.
struct State {
    value: f32,
    item: u32,
    seen: u32, // 0: nothing yet, 1: a number, 2: a NaN
}

fn identity() -> State {
    return State(0.0, 0u, 0u);
}

fn merge(a: State, b: State) -> State {
    if (a.seen != b.seen) {
        if (b.seen > a.seen) {
            return b;
        }
        return a;
    }
    let ties = a.seen == 2u || a.value == b.value;
    let beyond = select((b.value < a.value), (b.value > a.value), LARGEST);
    if (select(beyond, b.item < a.item, ties)) {
        return b;
    }
    return a;
}

fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    var t = s;
    for (var k = 0u; k < count; k++) {
        t = merge(t, State(x[k], item + k, select(1u, 2u, is_nan(x[k]))));
    }
    return t;
}
