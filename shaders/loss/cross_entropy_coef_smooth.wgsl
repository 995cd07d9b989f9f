// Class targets with label smoothing: label_smoothing / C w_c for every class.
fn coefs4(row: Row, column: u32, count: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), smooth_share() * class_weight4(column), QUAD < vec4<u32>(count));
}
