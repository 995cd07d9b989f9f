// The tree of lanes/tree_workgroup.wgsl among the lanes of several groups of GROUP: each group from register to
// register, as in lanes/tree_subgroup.wgsl; then every group takes what all of them came to from workgroup memory, and
// merges that from register to register, too. One barrier. An invocation comes here once. SUBGROUP is a multiple of
// GROUP, and there are no more groups than lanes of one.
const GROUPS: u32 = LANES / GROUP; // of a row

var<workgroup> group_states: array<State, WIDTH / GROUP>;

// The state of as many lanes of a group, the first ones, on its first.
fn of_group(lane: u32, lanes: u32, mine: State) -> State {
    let own = lane % GROUP;
    let first = lane % SUBGROUP - own;
    var state = mine;
    for (var half = lanes / 2u; half > 0u; half = half / 2u) {
        state = merge(state, State_from_lane(state, first + (own + half) % GROUP));
    }
    return state;
}

fn tree(lane: u32, mine: State) -> State {
    meet();
    let group = of_group(lane, GROUP, mine);
    if (lane % GROUP == 0u) {
        group_states[lane / GROUP] = group;
    }
    workgroupBarrier(); // the states of all groups, before each reads those of its row
    let all = of_group(lane, GROUPS, group_states[(lane - lane % LANES) / GROUP + lane % GROUPS]);
    return State_from_lane(all, lane % SUBGROUP - lane % GROUP);
}
