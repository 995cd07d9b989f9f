// The tree of lanes/tree_workgroup.wgsl where neighbours among the lanes have neighbouring rows, BESIDE of them: the
// lanes of a row are BESIDE apart. Its part i takes part i + half, so the order is the same. Nothing is written over
// the input in this pass, so no storage has to wait.
var<workgroup> states: array<State, WIDTH>;

fn tree(lane: u32, mine: State) -> State {
    let part = lane / BESIDE;
    states[lane] = mine;
    workgroupBarrier(); // makes the lanes' states visible to the tree
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (part < half) {
            states[lane] = merge(states[lane], states[lane + half * BESIDE]);
        }
        workgroupBarrier(); // this level's states before the next level reads them
    }
    return states[lane % BESIDE];
}
