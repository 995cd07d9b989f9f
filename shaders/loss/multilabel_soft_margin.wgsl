// Multi-label soft margin loss of a row of logits x over C classes with targets y: the mean over the classes of a
// binary cross-entropy, with a weight for each class or (EACH_WEIGHS) for each element,
//
//   loss     = 1 / C sum_c w_c (y_c softplus(-x_c) + (1 - y_c) softplus(x_c))     since -log sigmoid(x) = softplus(-x)
//   grad_c   = w_c / C ((1 - y_c) sigmoid(x_c) - y_c sigmoid(-x_c))               since softplus' = sigmoid
//   grad_y_c = -w_c x_c / C                                        since softplus(x) - softplus(-x) = x

struct Row {
    kind: u32,       // KEPT
    targets_at: u32, // where its y begin
    weights_at: u32, // and its weights: those of elements have no gaps
}

fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    return Row(KEPT, targets_at(slab, inner), params.weight_base + select(0u, slab * params.cols, EACH_WEIGHS));
}

fn row_reads(row: Row) -> bool {
    return true;
}

// The columns of a quad; past the last class, that class again.
fn columns4(column: u32) -> vec4<u32> {
    return min(vec4<u32>(column) + QUAD, vec4<u32>(params.cols - 1u));
}

fn weights4(row: Row, column: u32) -> vec4<f32> {
    let c = vec4<u32>(row.weights_at) + columns4(column);
    return vec4<f32>(weight1(c.x), weight1(c.y), weight1(c.z), weight1(c.w)) / f32(params.cols);
}

fn labels4(row: Row, column: u32, count: u32) -> vec4<f32> {
    if (count == 4u) {
        return targets4(row.targets_at + column * col_step(), col_step());
    }
    let at = vec4<u32>(row.targets_at) + columns4(column) * col_step();
    return vec4<f32>(targets1(at.x), targets1(at.y), targets1(at.z), 0.0);
}

fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    let y = labels4(row, column, count);
    let n = 1.0 - y;
    let each = vec4<f32>(
        logit_cost(x.x, y.x, n.x), logit_cost(x.y, y.y, n.y), logit_cost(x.z, y.z, n.z), logit_cost(x.w, y.w, n.w));
    let cost = weights4(row, column) * each;
    return State(s.sum + sum4(select(vec4<f32>(0.0), cost, QUAD < vec4<u32>(count))));
}

// The mean of nothing is NaN.
fn row_loss(row: Row, s: State) -> f32 {
    return select(s.sum, params.nan, params.cols == 0u);
}

struct Slope {
    nothing: u32, // the columns have nothing in common
}

fn row_slope(row: Row, s: State) -> Slope {
    return Slope(0u);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let y = labels4(row, column, count);
    let n = 1.0 - y;
    return weights4(row, column) * vec4<f32>(
        logit_slope(x.x, y.x, n.x), logit_slope(x.y, y.y, n.y), logit_slope(x.z, y.z, n.z), logit_slope(x.w, y.w, n.w));
}

fn row_grad_target(row: Row, s: State, column: u32, x: f32) -> f32 {
    return -weight1(row.weights_at + column) / f32(params.cols) * x;
}
