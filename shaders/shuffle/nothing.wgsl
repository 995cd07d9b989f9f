// There is nothing in another lane of the subgroup either.
fn from_lane(s: State, other: u32) -> State {
    return s;
}
