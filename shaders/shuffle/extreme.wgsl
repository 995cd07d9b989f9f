// The state of another lane of the subgroup.
fn from_lane(s: State, other: u32) -> State {
    return State(
        subgroupShuffle(s.value, other),
        subgroupShuffle(s.item, other),
        subgroupShuffle(s.item_high, other),
        subgroupShuffle(s.seen, other),
        subgroupShuffle(s.ties, other),
    );
}
