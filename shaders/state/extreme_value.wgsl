// The largest or smallest element (LARGEST) of everything; a NaN wins over any number, as in PyTorch.
struct State {
    value: f32,
    bits: u32, // the largest |x| as bits: tells NaN without a floating-point comparison
}

const RESULT_WORDS: u32 = 1u;

fn identity() -> State {
    return State(select(-params.neg_inf, params.neg_inf, LARGEST), 0u);
}

fn merge(a: State, b: State) -> State {
    return State(select(min(a.value, b.value), max(a.value, b.value), LARGEST), max(a.bits, b.bits));
}

// Four elements of which the first `count` are there.
fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    let kept = select(vec4<f32>(identity().value), x, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
    let low = min(min(kept.x, kept.y), min(kept.z, kept.w));
    let high = max(max(kept.x, kept.y), max(kept.z, kept.w));
    let seen = select(vec4<f32>(0.0), x, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
    return merge(s, State(select(low, high, LARGEST), bits4(seen)));
}

fn result(s: State) -> array<u32, 1> {
    return array<u32, 1>(bitcast<u32>(select(s.value, params.nan, marks_nan(s.bits))));
}
