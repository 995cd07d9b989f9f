// Sixteen columns as four times four, for a loss that supplies row_push4.
fn row_push16(
    row: Row, s: State, c0: u32, c1: u32, c2: u32, c3: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
) -> State {
    let a = row_push4(row, s, c0, x0, 4u);
    let b = row_push4(row, a, c1, x1, 4u);
    let c = row_push4(row, b, c2, x2, 4u);
    return row_push4(row, c, c3, x3, 4u);
}

// The same of quads that may have no columns.
fn row_push16_masked(
    row: Row, s: State, c0: u32, c1: u32, c2: u32, c3: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>, counts: vec4<u32>,
) -> State {
    var t = s;
    if (counts.x > 0u) { t = row_push4(row, t, c0, x0, counts.x); }
    if (counts.y > 0u) { t = row_push4(row, t, c1, x1, counts.y); }
    if (counts.z > 0u) { t = row_push4(row, t, c2, x2, counts.z); }
    if (counts.w > 0u) { t = row_push4(row, t, c3, x3, counts.w); }
    return t;
}

// A row whose columns are all at hand, which gains nothing by it.
struct Fold {
    s: State,
}

fn fold_of(tops: vec4<f32>, bits: vec4<i32>) -> Fold {
    return Fold(identity());
}

fn fold4(row: Row, f: Fold, column: u32, x: vec4<f32>, count: u32) -> Fold {
    return Fold(row_push4(row, f.s, column, x, count));
}

// What a pack keeps of the columns taken in last.
fn kept4(f: Fold, x: vec4<f32>) -> vec4<f32> {
    return x;
}

fn folded(f: Fold) -> State {
    return f.s;
}
