// Items are the class targets of a batch, for state/count.wgsl.

// What else becomes of up to four of them: each is the class of its row, and nothing does.
// default
fn visit_labels(item: u32, count: u32) {}

// Four of them: their words, what they say, the weights of their rows and those times the weights of their classes.
struct Four {
    low: vec4<u32>,
    high: vec4<u32>,
    kind: vec4<u32>,
    rows: vec4<f32>,
    weight: vec4<f32>,
}

// Label k of four from `nth` on, `step` apart, of which `count` are there; past those, the last one again, with a kind
// of its own.
fn take(f: Four, k: u32, nth: u32, step: u32, count: u32) -> Four {
    let own = nth + step * min(k, count - 1u);
    let words = label_words(params.base + own);
    let kind = classify(words, params.ignore, params.classes);
    let kept = (kind == KEPT) & (k < count);
    // Of a class that there is, whatever the label says.
    let w = select(0.0, sample_weight1(params.sample_weight_base + own), kept);
    let class_w = select(0.0, label_weight(own, select(0u, words.x, kept)), kept);
    var t = f;
    t.low[k] = words.x;
    t.high[k] = words.y;
    t.kind[k] = select(0xffffffffu, kind, k < count);
    t.rows[k] = w;
    t.weight[k] = w * class_w;
    return t;
}

fn how_many(is: vec4<bool>) -> u32 {
    let ones = select(vec4<u32>(0u), vec4<u32>(1u), is);
    return (ones.x + ones.y) + (ones.z + ones.w);
}

// Lanes of a GPU take labels side by side (BESIDE), as memory has them: four of one lane would be a sector each.
fn lead(lane: u32) -> u32 {
    if (BESIDE) {
        return lane;
    }
    return 4u * lane;
}

fn push_four(s: State, item: u32) -> State {
    if (BESIDE) {
        return push_labels(s, item, WIDTH, 4u);
    }
    return push_items(s, item, 4u);
}

fn push_items(s: State, item: u32, count: u32) -> State {
    visit_labels(item, count);
    return push_labels(s, item, 1u, count);
}

// Without a branch: software adapters run both sides of one.
fn push_labels(s: State, item: u32, step: u32, count: u32) -> State {
    let nth = item - params.first_item;
    let none = vec4<u32>(0u);
    var f = Four(none, none, none, vec4<f32>(0.0), vec4<f32>(0.0));
    f = take(f, 0u, nth, step, count);
    f = take(f, 1u, nth, step, count);
    f = take(f, 2u, nth, step, count);
    f = take(f, 3u, nth, step, count);
    let bad = f.kind == vec4<u32>(BAD);
    let places = select(vec4<u32>(0xffffffffu), vec4<u32>(item) + step * vec4<u32>(0u, 1u, 2u, 3u), bad);
    let first = min(min(places.x, places.y), min(places.z, places.w));
    // The words of the first bad one, which stands behind no other.
    let is_first = bad & (places == vec4<u32>(first));
    let low = select(none, f.low, is_first);
    let high = select(none, f.high, is_first);
    return merge(s, State(
        sum4(f.weight), sum4(f.rows),
        how_many(f.kind == vec4<u32>(KEPT)), how_many(f.kind == vec4<u32>(IGNORED)), how_many(bad),
        first, (low.x | low.y) | (low.z | low.w), (high.x | high.y) | (high.z | high.w)));
}
