// Class targets of cross_entropy: the labelled class stands apart, as `hit`.
fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    let words = label_words(params.targets_base + (index - params.first_row));
    let kind = classify(words, params.ignore, params.cols);
    if (kind != KEPT) {
        return Row(kind, 0u, 0.0, 0.0, 0u);
    }
    let hit = (1.0 - label_smoothing()) * class_weight(words.x);
    return Row(kind, words.x, hit, mapped1(input1(input_at + words.x * params.col_stride)), 0u);
}
