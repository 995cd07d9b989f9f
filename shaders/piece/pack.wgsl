// PACK short rows of one lane in registers. Where the classes are innermost they lie side by side, so many of them that they
// end on a quad (of ten classes, two rows are five quads), or one alone, the end of whose last quad is unused. Elsewhere four rows are one quad of each column: CROSSWISE.
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

// Rows from `index` on; past `last`, that one again.
fn read_pack(index: u32, last: u32) {
    if (FLAT) {
        let at = input_place(spot_of(min(index, last + 1u - PACK)));
        for (var k = 0u; k < PACK_QUADS; k++) { // unrolled
            pack[k] = input4(at + k * quad_step(), 1u);
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

// The gradients of `count` rows, which have taken the place of their logits.
fn put_pack(index: u32, count: u32) {
    if (FLAT) {
        if (count != 0u) {
            let at = grad_at(index);
            for (var k = 0u; k < PACK_QUADS; k++) { // unrolled
                put_grad_input4(at + k * quad_step(), 1u, pack[k]);
            }
        }
        return;
    }
    for (var r = 0u; r < PACK; r++) { // unrolled
        if (r < count) {
            let at = grad_at(index + r);
            for (var c = 0u; c < COLS; c++) { // unrolled
                put_grad_input1(at + c * col_step(), seated(r, c));
            }
        }
    }
}
