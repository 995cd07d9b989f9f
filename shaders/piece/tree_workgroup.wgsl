// The fixed tree that merges the states of a workgroup through its memory: lane i takes lane i + half.
// It needs no adapter feature. WIDTH is a power of two.
var<workgroup> states: array<State, WIDTH>;

fn tree(lane: u32, mine: State) -> State {
    states[lane] = mine;
    // Every lane comes here. Also orders this workgroup's reads of the logits before its writes over them (in_place).
    storageBarrier();
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            states[lane] = merge(states[lane], states[lane + half]);
        }
        workgroupBarrier(); // this level's states before the next level reads them
    }
    return states[0];
}
