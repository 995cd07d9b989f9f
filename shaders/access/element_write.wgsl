// Writes `count` elements of `OPERAND` from element e of the dispatch on.
fn write_OPERAND(e: u32, count: u32, value: vec4<f32>) {
    if ((count == 4u) & !is_strided(AT_OPERAND) & !is_single(AT_OPERAND)) {
        put_OPERAND4(base_of(AT_OPERAND) + e, 1u, value);
        return;
    }
    let at = places(AT_OPERAND, e, count);
    put_OPERAND1(at.x, value.x);
    if (count > 1u) { put_OPERAND1(at.y, value.y); }
    if (count > 2u) { put_OPERAND1(at.z, value.z); }
    if (count > 3u) { put_OPERAND1(at.w, value.w); }
}
