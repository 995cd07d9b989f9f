// No column has a coefficient of its own.
fn coefs4(row: Row, column: u32, count: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}
