// What is no finite number. (Rules are told by bits: adapters may flush the smallest numbers to 0.)
fn breaks(x: f32) -> bool {
    return !is_finite(x);
}
