// The gradient of the target is not wanted.
fn put_target_grad(row: Row, s: State, scale: f32, at: u32, q: Columns) {}
