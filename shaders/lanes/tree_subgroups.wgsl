// The tree of lanes/tree_workgroup.wgsl for the subgroups of GPUs: the lanes of a group exchange what they have from
// register to register, each with the one whose number differs in a bit, so that all of them have the group's state.
// Where a row has several groups, each takes what all of them came to from workgroup memory, one lane one group's, and
// merges that likewise. An invocation comes here once. Nothing asks how large a subgroup is, only that it has whole
// groups in the order of lanes; masks are constants, for which GPUs have instructions.
const GROUPS: u32 = LANES / GROUP; // of a row

var<workgroup> group_states: array<State, WIDTH / GROUP>;

// Lanes `half` apart merge, the lower one's state first on both of them.
fn exchanged(lane: u32, mine: State, half: u32) -> State {
    let other = State_across(mine, half);
    var low = mine;
    var high = other;
    if ((lane & half) != 0u) {
        low = other;
        high = mine;
    }
    return merge(low, high);
}

// The state of a row, of those of its groups.
fn of_groups(lane: u32, mine: State) -> State {
    if (lane % GROUP == 0u) {
        group_states[lane / GROUP] = mine;
    }
    workgroupBarrier(); // the states of all groups, before each reads those of its row
    var state = group_states[(lane - lane % LANES) / GROUP + lane % GROUPS];
    for (var k = 0u; k < GROUP_LEVELS; k++) { // unrolled
        state = exchanged(lane, state, (GROUPS / 2u) >> k);
    }
    return state;
}

fn tree(lane: u32, mine: State) -> State {
    meet();
    var state = mine;
    for (var k = 0u; k < LEVELS; k++) { // unrolled
        state = exchanged(lane, state, (GROUP / 2u) >> k);
    }
    if (JOINS) {
        return of_groups(lane, state);
    }
    return state;
}
