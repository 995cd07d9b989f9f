// Items are the class targets of a batch, for monoid/count.wgsl.
fn push_items(s: State, item: u32, count: u32) -> State {
    var t = s;
    for (var k = 0u; k < count; k++) {
        let words = label_words(params.base + item + k - params.first_item);
        let kind = classify(words, params.ignore, params.classes);
        if (kind == KEPT) {
            t = merge(t, State(class_weight(words.x), 1u, 0u, 0u, 0xffffffffu, 0u, 0u, 0u));
        } else if (kind == IGNORED) {
            t = merge(t, State(0.0, 0u, 1u, 0u, 0xffffffffu, 0u, 0u, 0u));
        } else {
            t = merge(t, State(0.0, 0u, 0u, 1u, item + k, words.x, words.y, 0u));
        }
    }
    return t;
}
