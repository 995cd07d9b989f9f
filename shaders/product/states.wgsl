// States between lanes by way of the memory of slabs, of which no more is at hand (lanes/tree_workgroup.wgsl). A state
// supplies state_words and state_of.
const LINE_CELLS: u32 = left_quads + right_quads;

fn keep_state(cell: u32, s: State) {
    let words = state_words(s);
    let at = 2u * cell;
    slab[at / (4u * LINE_CELLS)][at / LINE_CELLS % 4u][at % LINE_CELLS] = words[0];
    slab[(at + 1u) / (4u * LINE_CELLS)][(at + 1u) / LINE_CELLS % 4u][(at + 1u) % LINE_CELLS] = words[1];
}

fn kept_state(cell: u32) -> State {
    let at = 2u * cell;
    return state_of(
        slab[at / (4u * LINE_CELLS)][at / LINE_CELLS % 4u][at % LINE_CELLS],
        slab[(at + 1u) / (4u * LINE_CELLS)][(at + 1u) / LINE_CELLS % 4u][(at + 1u) % LINE_CELLS]);
}
