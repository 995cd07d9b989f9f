// Rows with a class target of which a loss knows the class, its weight and its column; see also
// loss/cross_entropy.wgsl, which knows more.
struct Row {
    kind: u32,     // KEPT, IGNORED or BAD
    label: u32,    // t, the labelled class
    weight: f32,   // w_t
    x_label: f32,  // x_t
}

// A row that is not kept looks at class 0, for nothing: software adapters would run both sides of a branch.
fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    let words = label_words(params.targets_base + (index - params.first_row));
    let kind = classify(words, params.ignore, params.cols);
    let label = select(0u, words.x, kind == KEPT);
    return Row(kind, label, select(0.0, class_weight(label), kind == KEPT), column1(input_at, label));
}

fn row_reads(row: Row) -> bool {
    return row.kind == KEPT;
}
