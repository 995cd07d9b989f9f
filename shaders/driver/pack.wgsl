// Short rows of a (slab, column, inner) array where they are many: PACK of them at once in a lane's registers, PACKS such packs
// read and written together, one after the other until the lane has had TURNS rows. The loops over columns are written out on
// composition (src/shader.rs): at an index that is no constant, software adapters have arrays in memory, lane by lane. A row is
// read once, whatever is written.
//
// A loss supplies what driver/row.wgsl says.

// What is written of a row, its gradient in the place of its logits.
fn write_row(r: u32, row: Row, state: State, index: u32, spot: vec2<u32>, writes: bool) {
    let slope = row_slope(row, state);
    let scale = row_scale(index);
    let places = places_of(spot.x, spot.y);
    for (var column = 0u; column < COLS; column += 4u) { // unrolled
        let q = pack_quad(r, column);
        if (writes) {
            put_others(row, state, slope, scale, places, q);
        }
        if (WANTS_GRAD) {
            set_quad(r, q, grad_of(row, slope, scale, q, writes));
        }
    }
}

// Row r of a pack: its loss, and what is written of it.
fn take_row(tile: u32, lane: u32, index: u32, last: u32, r: u32) {
    let own = min(index, last);
    let live = index <= last;
    let spot = spot_of(own);
    let row = row_open(own, spot.x, spot.y, r);
    var state = identity();
    if (READS_ROWS) {
        // Also of a row that is not read, for nothing: it lies in registers, and a branch around all of this costs more.
        let folded = fold_pack(row, r);
        if (live & row_reads(row)) {
            state = folded;
        }
    }
    put_row(tile, lane, own, live, true, row, state);
    if (WRITES_ROWS) {
        write_row(r, row, state, own, spot, live & row_writes(row));
    }
}

// The rows of the first pack.
fn take_pack(tile: u32, lane: u32, index: u32, last: u32) {
    for (var r = 0u; r < PACK; r++) { // unrolled
        take_row(tile, lane, index + r, last, r);
    }
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let block = (tile / params.block_tiles) * params.block_rows;
    let last = block + params.block_rows - 1u;
    let first = block + (tile % params.block_tiles) * ROWS;
    for (var turn = 0u; turn < TURNS / (PACKS * PACK); turn++) {
        let index = first + (turn * PACKS * WIDTH + lane) * PACK;
        read_packs(index, last);
        if (PACKS == 1u) {
            // No loop: a pack that goes around one lies in memory to SwiftShader.
            take_pack(tile, lane, index, last);
        } else {
            for (var p = 0u; p < PACKS; p++) {
                take_pack(tile, lane, index + p * PACK_STEP, last);
                next_pack();
            }
        }
        if (WANTS_GRAD) {
            put_packs(index, last);
        }
    }
    put_tile(tile, lane);
}
