// Four items that are all there, of a source that has no shorter way for them.
fn push_four(s: State, item: u32) -> State {
    return push_items(s, item, 4u);
}
