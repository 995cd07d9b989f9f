// The fixed tree that merges the states of LANES lanes through workgroup memory, for each of the rows, or other things,
// that a workgroup has: lane i takes lane i + half. It needs no adapter feature. WIDTH and LANES are powers of two.
var<workgroup> states: array<State, WIDTH>;

fn tree(lane: u32, mine: State) -> State {
    let part = lane % LANES;
    states[lane] = mine;
    // Every lane comes here. Also orders this workgroup's reads of the logits before its writes over them (in_place).
    storageBarrier();
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (part < half) {
            states[lane] = merge(states[lane], states[lane + half]);
        }
        workgroupBarrier(); // this level's states before the next level reads them
    }
    return states[lane - part];
}
