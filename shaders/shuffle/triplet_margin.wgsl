// The state of another lane of the subgroup.
fn norm_from_lane(n: Norm, other: u32) -> Norm {
    return Norm(subgroupShuffle(n.top, other), subgroupShuffle(n.sum, other));
}

fn from_lane(s: State, other: u32) -> State {
    return State(
        norm_from_lane(s.positive, other),
        norm_from_lane(s.negative, other),
        norm_from_lane(s.swapped, other),
        subgroupShuffle(s.bits, other),
    );
}
