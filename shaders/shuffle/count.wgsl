// The state of another lane of the subgroup.
fn from_lane(s: State, other: u32) -> State {
    return State(
        subgroupShuffle(s.weight, other),
        subgroupShuffle(s.rows, other),
        subgroupShuffle(s.kept, other),
        subgroupShuffle(s.ignored, other),
        subgroupShuffle(s.bad, other),
        subgroupShuffle(s.first_bad, other),
        subgroupShuffle(s.bad_low, other),
        subgroupShuffle(s.bad_high, other),
    );
}
