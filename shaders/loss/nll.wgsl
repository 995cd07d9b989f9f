// Negative log-likelihood of a row of log-probabilities x with target t:
//
//   loss   = -w_t x_t
//   grad_c = -w_t [c = t]
//
// One column is all that the loss reads, and the gradient reads none.

struct Row {
    kind: u32,   // KEPT, IGNORED or BAD
    label: u32,  // t
    weight: f32, // w_t
    x: f32,      // x_t
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

fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    return s;
}

fn row_loss(row: Row, s: State) -> f32 {
    if (row.kind == IGNORED) {
        return 0.0;
    }
    return select(-row.weight * row.x, params.nan, row.kind == BAD);
}

struct Slope {
    hit: f32, // the gradient of the target's column
}

fn row_slope(row: Row, s: State) -> Slope {
    return Slope(-row.weight);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), vec4<f32>(slope.hit), vec4<u32>(column) + QUAD == vec4<u32>(row.label));
}
