// Class targets of cross_entropy: the labelled class stands apart, as `hit`. A row that is not kept looks at class 0
// instead, for nothing: software adapters would run both sides of a branch.
fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    let words = label_words(params.targets_base + (index - params.first_row));
    let kind = classify(words, params.ignore, params.cols);
    let label = select(0u, words.x, kind == KEPT);
    let hit = select(0.0, (1.0 - label_smoothing()) * class_weight(label), kind == KEPT);
    return Row(kind, label, hit, column1(input_at, label), coef1(label), 0u);
}

// What the gradients of a row have in common, computed once.
struct Slope {
    peak: f32,
    share: f32, // slope_of / sum_j exp(x_j - peak)
    hit: f32,   // the gradient of the labelled class
}

fn row_slope(row: Row, s: State) -> Slope {
    let all = slope_of(row, s);
    let share = all / (1.0 + s.rest);
    let b = row.hit + row.q_hit;
    // Of the class at the peak, exp(x - lse) = 1 - rest / (1 + rest), so a confident row's gradient of its label does not
    // cancel. Where the rest is below a half, no other class is as near to the peak. The difference of near numbers is
    // exact, however large they are.
    let sure = (s.rest < 0.5) & (s.peak - row.x_hit < 0.5);
    let below = share * exp(row.x_hit - s.peak) - b;
    return Slope(s.peak, share, select(below, (all - b) - share * s.rest, sure));
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let others = slope.share * exp(x - slope.peak) - coefs4(row, column, count);
    return select(others, vec4<f32>(slope.hit), at4(column, row.label));
}
