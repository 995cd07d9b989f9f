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
