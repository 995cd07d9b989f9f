// Four elements of `OPERAND` from element e of the dispatch on; past `count`, the last one again.
fn read_OPERAND(e: u32, count: u32) -> vec4<f32> {
    if (is_single(AT_OPERAND)) {
        return vec4<f32>(OPERAND1(base_of(AT_OPERAND)));
    }
    if ((count == 4u) & !is_strided(AT_OPERAND)) {
        return OPERAND4(base_of(AT_OPERAND) + e, 1u);
    }
    let at = places(AT_OPERAND, e, count);
    return vec4<f32>(OPERAND1(at.x), OPERAND1(at.y), OPERAND1(at.z), OPERAND1(at.w));
}
