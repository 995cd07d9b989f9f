// Short rows of a (slab, column, inner) array where they are many: PACK of them at once in a lane's registers, PACKS
// such packs read and written together, one after the other until the lane has had TURNS rows. The loops over columns
// are written out on composition (src/shader/unroll.rs): at an index that is no constant, software adapters have arrays
// in memory, lane by lane. A row is read once, whatever is written.
//
// A loss supplies what driver/row.wgsl says.

// PACK short rows of one lane in registers. Where the classes are innermost they lie side by side, so many of them that
// they end on a quad (of ten classes, two rows are five quads), or one alone, the end of whose last quad is unused.
// Elsewhere four rows are one quad of each column: CROSSWISE.
//
// Bits do not depend on how a pack is read: FLAT says that its quads are quads of memory, all there and aligned; else
// it is read and written element by element.
//
// A lane may have PACKS of them, where they are FLAT, side by side in memory with those of its neighbours: far-apart
// columns are then read and written in longer runs. The first is the one that is worked on.
var<private> pack: array<vec4<f32>, PACKS * PACK_QUADS>;

// From the rows of one of a lane's packs to those of the next.
const PACK_STEP: u32 = WIDTH * PACK;

// Each pack moves one place ahead, the first to the end: at indices that are constants, unlike a loop over packs.
fn next_pack() {
    for (var k = 0u; k < PACK_QUADS; k++) { // unrolled
        let first = pack[k];
        for (var p = 0u; p < PACKS; p++) { // unrolled
            pack[p * PACK_QUADS + k] = pack[(p + 1u) % PACKS * PACK_QUADS + k];
        }
        pack[(PACKS - 1u) * PACK_QUADS + k] = first;
    }
}

// Where an element of row r lies: quad and component.
fn seat(r: u32, column: u32) -> vec2<u32> {
    if (CROSSWISE) {
        return vec2<u32>(column, r);
    }
    let at = r * COLS + column;
    return vec2<u32>(at / 4u, at % 4u);
}

fn seated(r: u32, column: u32) -> f32 {
    let at = seat(r, column);
    return pack[at.x][at.y];
}

fn set_seat(r: u32, column: u32, value: f32) {
    let at = seat(r, column);
    pack[at.x][at.y] = value;
}

// The columns of a quad.
fn set_quad(r: u32, q: Columns, values: vec4<f32>) {
    set_seat(r, q.column, values.x);
    if (q.count > 1u) { set_seat(r, q.column + 1u, values.y); }
    if (q.count > 2u) { set_seat(r, q.column + 2u, values.z); }
    if (q.count > 3u) { set_seat(r, q.column + 3u, values.w); }
}

// The row of the pack that is being opened.
var<private> opened: u32;

// The logit of one of its columns, as the loss sees it. Not by an index that differs between lanes: software adapters
// would read it lane by lane.
fn column1(input_at: u32, column: u32) -> f32 {
    let r = opened;
    var x = 0.0;
    for (var c = 0u; c < COLS; c++) { // unrolled
        x = select(x, seated(r, c), c == column);
    }
    return mapped1(x);
}

fn pack_quad(r: u32, column: u32) -> Columns {
    let count = min(COLS - column, 4u);
    let c = min(vec4<u32>(column) + QUAD, vec4<u32>(COLS - 1u));
    let raw = vec4<f32>(seated(r, c.x), seated(r, c.y), seated(r, c.z), seated(r, c.w));
    return Columns(column, count, raw, mapped_tail(raw, count));
}

fn fold_pack(row: Row, r: u32) -> State {
    var tops = vec4<f32>(params.neg_inf);
    var bits = vec4<i32>(0);
    for (var column = 0u; column < COLS; column += 4u) { // unrolled
        let x = pack_quad(r, column).x;
        tops = max(tops, x);
        // -inf past the last column, where the row has other columns as well
        bits = max(bits, abs_bits(x));
    }
    var f = fold_of(tops, bits);
    for (var column = 0u; column < COLS; column += 4u) { // unrolled
        let q = pack_quad(r, column);
        f = fold4(row, f, column, q.x, q.count);
        if (KEEPS_EXPS) {
            set_quad(r, q, kept4(f, q.x)); // from which the gradient follows
        }
    }
    return folded(f);
}

// Elements from one quad of a pack to the next.
fn quad_step() -> u32 {
    if (INNERMOST) {
        return 4u;
    }
    return col_step();
}

fn grad_at(index: u32) -> u32 {
    let spot = spot_of(index);
    return places_of(spot.x, spot.y).grad;
}

// Rows from `index` on, and those of the packs beside; past `last`, rows up to it again.
fn read_packs(index: u32, last: u32) {
    if (FLAT) {
        let own = min(index, last + 1u - PACK);
        let at = input_place(spot_of(own));
        for (var k = 0u; k < PACK_QUADS; k++) { // unrolled
            for (var p = 0u; p < PACKS; p++) { // unrolled
                let beside = min(p * PACK_STEP, last + 1u - PACK - own);
                pack[p * PACK_QUADS + k] = input4(at + beside + k * quad_step(), 1u);
            }
        }
        return;
    }
    for (var r = 0u; r < PACK; r++) { // unrolled
        let at = input_place(spot_of(min(index + r, last)));
        for (var c = 0u; c < COLS; c++) { // unrolled
            set_seat(r, c, input1(at + c * col_step()));
        }
    }
}

// Their gradients, which have taken the place of the logits.
fn put_packs(index: u32, last: u32) {
    if (FLAT) {
        if (index <= last) {
            let at = grad_at(index);
            for (var k = 0u; k < PACK_QUADS; k++) { // unrolled
                for (var p = 0u; p < PACKS; p++) { // unrolled
                    if ((p == 0u) | (index + p * PACK_STEP <= last)) {
                        put_grad_input4(at + p * PACK_STEP + k * quad_step(), 1u, pack[p * PACK_QUADS + k]);
                    }
                }
            }
        }
        return;
    }
    for (var r = 0u; r < PACK; r++) { // unrolled
        if (index + r <= last) {
            let at = grad_at(index + r);
            for (var c = 0u; c < COLS; c++) { // unrolled
                put_grad_input1(at + c * col_step(), seated(r, c));
            }
        }
    }
}

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
    opened = r;
    let row = row_open(own, spot.x, spot.y, input_place(spot));
    var state = identity();
    if (READS_ROWS) {
        // Also of a row that is not read, for nothing: it lies in registers, and a branch around all of this costs
        // more.
        let folded = fold_pack(row, r);
        if (live & row_reads(row)) {
            state = folded;
        }
    }
    put_row(tile, lane, own, live, true, row, state);
    if (WRITES_ROWS) {
        if (STATS_GRADS) {
            write_row(r, with_stats_grads(row, own, state), state, own, spot, live);
            return;
        }
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
