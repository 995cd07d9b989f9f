// No third operand (pos_weight) was given: 1 everywhere.
fn third1(i: u32) -> f32 {
    return 1.0;
}
