// Items are the class targets of a batch, for monoid/count.wgsl. What else becomes of them is for visit_labels(item, count).
fn push_items(s: State, item: u32, count: u32) -> State {
    visit_labels(item, count);
    var t = identity();
    for (var k = 0u; k < count; k++) {
        let nth = item + k - params.first_item;
        let words = label_words(params.base + nth);
        let kind = classify(words, params.ignore, params.classes);
        if (kind == KEPT) {
            let w = sample_weight1(params.sample_weight_base + nth);
            t = merge(t, State(w * label_weight(nth, words.x), w, 1u, 0u, 0u, 0xffffffffu, 0u, 0u));
        } else if (kind == IGNORED) {
            t = merge(t, State(0.0, 0.0, 0u, 1u, 0u, 0xffffffffu, 0u, 0u));
        } else {
            t = merge(t, State(0.0, 0.0, 0u, 0u, 1u, item + k, words.x, words.y));
        }
    }
    return merge(s, t);
}
