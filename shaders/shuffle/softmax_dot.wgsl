// The state of another lane of the subgroup.
fn from_lane(s: State, other: u32) -> State {
    return State(
        subgroupShuffle(s.peak, other),
        subgroupShuffle(s.at, other),
        subgroupShuffle(s.rest, other),
        subgroupShuffle(s.others, other),
        subgroupShuffle(s.dot, other),
        subgroupShuffle(s.bits, other),
    );
}
