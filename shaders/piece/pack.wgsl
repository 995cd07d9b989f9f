// PACK short rows of one lane in registers. Where the classes are innermost they lie side by side, so many of them that they
// end on a quad: of ten classes, two rows are five quads. Elsewhere four rows are one quad of each column: CROSSWISE.
//
// Bits do not depend on how a pack is read: FLAT says that its quads are quads of memory, all there and aligned; else it is
// read and written element by element.
var<private> pack: array<vec4<f32>, PACK_QUADS>;

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

// The logit of one column of row r, as the loss sees it. Not by an index that differs between lanes: software adapters
// would read it lane by lane.
fn column1(r: u32, column: u32) -> f32 {
    var x = 0.0;
    for (var c = 0u; c < COLS; c++) {
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
    var bits = vec4<u32>(0u);
    for (var column = 0u; column < COLS; column += 4u) {
        let x = pack_quad(r, column).x;
        tops = max(tops, x);
        // -inf past the last column, where the row has other columns as well
        bits = max(bits, bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu));
    }
    var f = fold_of(tops, bits);
    for (var column = 0u; column < COLS; column += 4u) {
        let q = pack_quad(r, column);
        f = fold4(row, f, column, q.x, q.count);
    }
    return folded(f);
}

// Elements from one quad of a pack to the next.
fn quad_step() -> u32 {
    if (INNERMOST) {
        return 4u;
    }
    return params.col_stride;
}

// The slab of a row and its place there, both counted from where the windows begin.
fn spot_of(index: u32) -> vec2<u32> {
    if (INNERMOST) {
        return vec2<u32>(index - params.first_slab, 0u);
    }
    return vec2<u32>(index / params.inner - params.first_slab, index % params.inner - params.first_inner);
}

fn input_at(index: u32) -> u32 {
    let spot = spot_of(index);
    return params.input_base + spot.x * params.input_stride + spot.y;
}

fn grad_at(index: u32) -> u32 {
    let spot = spot_of(index);
    return places_of(spot.x, spot.y).grad;
}

// Rows from `index` on; past `last`, that one again.
fn read_pack(index: u32, last: u32) {
    if (FLAT) {
        let at = input_at(min(index, last + 1u - PACK));
        for (var k = 0u; k < PACK_QUADS; k++) {
            pack[k] = input4(at + k * quad_step(), 1u);
        }
        return;
    }
    for (var r = 0u; r < PACK; r++) {
        let at = input_at(min(index + r, last));
        for (var c = 0u; c < COLS; c++) {
            set_seat(r, c, input1(at + c * params.col_stride));
        }
    }
}

// The gradients of `count` rows, which have taken the place of their logits.
fn put_pack(index: u32, count: u32) {
    if (FLAT) {
        if (count != 0u) {
            let at = grad_at(index);
            for (var k = 0u; k < PACK_QUADS; k++) {
                put_grad_input4(at + k * quad_step(), 1u, pack[k]);
            }
        }
        return;
    }
    for (var r = 0u; r < PACK; r++) {
        for (var c = 0u; c < select(0u, COLS, r < count); c++) {
            put_grad_input1(grad_at(index + r) + c * params.col_stride, seated(r, c));
        }
    }
}
