// No upstream gradient was given.
fn grad_output_of(row: u32) -> f32 {
    return 1.0;
}
