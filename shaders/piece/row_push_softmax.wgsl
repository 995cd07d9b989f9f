// The columns of a row into monoid/softmax.wgsl, with the coefficients that a coefs4 piece gives them.
fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    return push4(s, x, coefs4(row, column, count), column);
}

fn row_push16(
    row: Row, s: State, c0: u32, c1: u32, c2: u32, c3: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
) -> State {
    return push16(
        s, x0, x1, x2, x3,
        coefs4(row, c0, 4u), coefs4(row, c1, 4u), coefs4(row, c2, 4u), coefs4(row, c3, 4u),
        vec4<u32>(c0, c1, c2, c3));
}
