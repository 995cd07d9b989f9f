// `weight`, a factor for each class; 1 where none was given.
fn class_weight(label: u32) -> f32 {
    return weight1(params.weight_base + label);
}

// The weight of a row's class.
// default
fn label_weight(nth: u32, label: u32) -> f32 {
    return class_weight(label);
}
