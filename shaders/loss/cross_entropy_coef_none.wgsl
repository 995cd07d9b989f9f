// Class targets without label smoothing: the labelled class is all there is.
fn coefs4(row: Row, column: u32, count: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}
