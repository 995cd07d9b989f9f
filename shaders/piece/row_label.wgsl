// Rows with a class target of which a loss knows the class, its weight and its column; see also
// loss/cross_entropy_index.wgsl, which knows more.
struct Row {
    kind: u32,     // KEPT, IGNORED or BAD
    label: u32,    // t, the labelled class
    weight: f32,   // w_t
    x_label: f32,  // x_t
}

fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    let words = label_words(params.targets_base + (index - params.first_row));
    let kind = classify(words, params.ignore, params.cols);
    if (kind != KEPT) {
        return Row(kind, 0u, 0.0, 0.0);
    }
    return Row(kind, words.x, class_weight(words.x), input1(input_at + words.x * params.col_stride));
}

fn row_reads(row: Row) -> bool {
    return row.kind == KEPT;
}
