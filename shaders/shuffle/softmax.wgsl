// The state of another lane of the subgroup.
fn from_lane(s: State, other: u32) -> State {
    return State(
        subgroupShuffle(s.peak, other),
        subgroupShuffle(s.rest, other),
        subgroupShuffle(s.mass, other),
        subgroupShuffle(s.pull, other),
        subgroupShuffle(s.bits, other),
        subgroupShuffle(s.top, other),
        subgroupShuffle(s.heat, other),
    );
}
