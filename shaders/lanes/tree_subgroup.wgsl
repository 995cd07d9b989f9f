// The tree of lanes/tree_workgroup.wgsl among LANES lanes of one subgroup that runs in lockstep, as those of processors
// do, from register to register: lane i takes lane i + half, so the bits are the same. What lanes from `half` on come
// to is read by nobody: why rows do not mix is told in lanes/README.md. SUBGROUP is a multiple of LANES. Taken for
// granted: a workgroup of one dimension has its subgroups one after the other, all of them full.
fn tree(lane: u32, mine: State) -> State {
    let own = lane % SUBGROUP;
    var state = mine;
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        state = merge(state, State_from_lane(state, (own + half) % SUBGROUP));
    }
    return State_from_lane(state, own - own % LANES);
}
