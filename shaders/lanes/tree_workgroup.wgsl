// The fixed tree that merges the states of LANES lanes through workgroup memory, for each of the rows, or other things,
// that a workgroup has: GROUP lanes first, then what these come to (lanes/README.md). It needs no adapter feature.
//
// Half of the lanes write, the other half merges, so there is a cell for every two lanes. A lane writes where it alone
// has read before, and reads where nobody writes until the next barrier: one barrier a level.
const CELLS: u32 = GROUP / 2u; // of a group

var<workgroup> states: array<State, WIDTH / 2u>;

// default
fn keep_state(cell: u32, s: State) {
    states[cell] = s;
}

// default
fn kept_state(cell: u32) -> State {
    return states[cell];
}

fn tree(lane: u32, mine: State) -> State {
    let part = lane % LANES;
    let own = lane % GROUP;
    let cells = (lane / GROUP) * CELLS; // of this lane's group
    var state = mine;
    if (OVER_INPUT) {
        storageBarrier(); // this workgroup's reads of the logits, before its writes over them
    }
    for (var half = CELLS; half > 0u; half = half / 2u) {
        if ((own >= half) & (own < 2u * half)) {
            keep_state(cells + own % CELLS, state);
        }
        workgroupBarrier(); // this level's states, before they are merged
        if (own < half) {
            state = merge(state, kept_state(cells + (own + half) % CELLS));
        }
    }
    for (var half = LANES / GROUP / 2u; half > 0u; half = half / 2u) {
        let group = part / GROUP;
        if ((own == 0u) & (group >= half) & (group < 2u * half)) {
            keep_state(cells, state);
        }
        workgroupBarrier();
        if ((own == 0u) & (group < half)) {
            state = merge(state, kept_state(cells + half * CELLS));
        }
    }
    if (part == 0u) {
        keep_state(cells, state);
    }
    workgroupBarrier(); // the row's state, before all its lanes read it
    return kept_state((lane - part) / GROUP * CELLS);
}
