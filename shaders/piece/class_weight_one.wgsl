// No `weight` was given.
fn class_weight(class: u32) -> f32 {
    return 1.0;
}
