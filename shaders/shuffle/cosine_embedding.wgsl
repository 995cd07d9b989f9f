// The state of another lane of the subgroup.
fn from_lane(s: State, other: u32) -> State {
    return State(
        subgroupShuffle(s.ab, other),
        subgroupShuffle(s.aa, other),
        subgroupShuffle(s.bb, other),
        subgroupShuffle(s.gap, other),
        subgroupShuffle(s.skew, other),
    );
}
