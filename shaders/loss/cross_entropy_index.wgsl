// Class targets of cross_entropy: the labelled class stands apart, as `hit`. A row that is not kept looks at class 0
// instead, for nothing: software adapters would run both sides of a branch.
fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    let words = label_words(params.targets_base + (index - params.first_row));
    let kind = classify(words, params.ignore, params.cols);
    let label = select(0u, words.x, kind == KEPT);
    let hit = select(0.0, (1.0 - label_smoothing()) * class_weight(label), kind == KEPT);
    return Row(kind, label, hit, column1(input_at, label), 0u);
}
