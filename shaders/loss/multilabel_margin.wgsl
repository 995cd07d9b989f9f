// Multi-label margin loss of a row of scores x over C classes, class j named m_j times in the row's list of labels
// (labels/lists.wgsl makes m of the list):
//
//   loss   = 1 / C sum_{i: m_i = 0} sum_j m_j max(0, 1 + (x_i - x_j))
//   grad_i = 1 / C sum_j m_j [1 + (x_i - x_j) > 0]                   for a class that is no label
//   grad_j = -m_j / C #{i: m_i = 0, 1 + (x_i - x_j) > 0}             for a label
//
// Every class meets every other: the time is that of C^2 / 16 steps per row.

struct Row {
    kind: u32,       // KEPT
    input_at: u32,   // where the row begins
    targets_at: u32, // and its m
}

fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    return Row(KEPT, input_at, targets_at(slab, inner));
}

fn row_reads(row: Row) -> bool {
    return true;
}

// m and x of up to four columns; past the last class neither label nor rival: m = -1.
struct Others {
    m: vec4<f32>,
    x: vec4<f32>,
}

fn others_at(row: Row, column: u32) -> Others {
    let step = col_step();
    if (column + 4u <= params.cols) {
        return Others(targets4(row.targets_at + column * step, step), input4(row.input_at + column * step, step));
    }
    let c = min(vec4<u32>(column) + QUAD, vec4<u32>(params.cols - 1u));
    let at = vec4<u32>(row.targets_at) + c * step;
    let m = vec4<f32>(targets1(at.x), targets1(at.y), targets1(at.z), targets1(at.w));
    let source = vec4<u32>(row.input_at) + c * step;
    let x = vec4<f32>(input1(source.x), input1(source.y), input1(source.z), input1(source.w));
    return Others(select(vec4<f32>(-1.0), m, vec4<u32>(column) + QUAD < vec4<u32>(params.cols)), x);
}

// What four classes that are no labels fall short of one label, m_j times.
fn cost4(x: vec4<f32>, m_j: f32, x_j: f32) -> vec4<f32> {
    let z = 1.0 + (x - vec4<f32>(x_j));
    return select(vec4<f32>(0.0), m_j * z, (z > vec4<f32>(0.0)) & vec4<bool>(m_j > 0.0));
}

fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    let rivals = (others_at(row, column).m == vec4<f32>(0.0));
    var cost = vec4<f32>(0.0);
    for (var c = 0u; c < params.cols; c += 4u) {
        let q = others_at(row, c);
        cost += (cost4(x, q.m.x, q.x.x) + cost4(x, q.m.y, q.x.y)) + (cost4(x, q.m.z, q.x.z) + cost4(x, q.m.w, q.x.w));
    }
    let seen = select(vec4<f32>(0.0), x, QUAD < vec4<u32>(count));
    return State(s.sum + sum4(select(vec4<f32>(0.0), cost, rivals)), 0.0, max(s.bits, bits4(seen)));
}

fn row_loss(row: Row, s: State) -> f32 {
    return select(s.sum / f32(params.cols), params.nan, marks_nan(s.bits));
}

struct Slope {
    share: f32, // 1 / C
}

fn row_slope(row: Row, s: State) -> Slope {
    return Slope(select(1.0 / f32(params.cols), params.nan, marks_nan(s.bits)));
}

// How often four classes and one other are on different sides, less than 1 apart in the right order: the other's m
// where they are no labels, once where they are.
fn hits4(x: vec4<f32>, labels: vec4<bool>, m_k: f32, x_k: f32) -> vec4<f32> {
    let gap = x - vec4<f32>(x_k);
    let close = 1.0 + select(gap, -gap, labels) > vec4<f32>(0.0);
    let times = select(vec4<f32>(max(m_k, 0.0)), vec4<f32>(select(0.0, 1.0, m_k == 0.0)), labels);
    return select(vec4<f32>(0.0), times, close);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let m = others_at(row, column).m;
    let labels = m > vec4<f32>(0.0);
    var hits = vec4<f32>(0.0);
    for (var c = 0u; c < params.cols; c += 4u) {
        let q = others_at(row, c);
        hits += (hits4(x, labels, q.m.x, q.x.x) + hits4(x, labels, q.m.y, q.x.y))
            + (hits4(x, labels, q.m.z, q.x.z) + hits4(x, labels, q.m.w, q.x.w));
    }
    return slope.share * select(hits, -m * hits, labels);
}
