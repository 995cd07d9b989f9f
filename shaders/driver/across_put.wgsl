// Long rows that lie across, last pass: one workgroup writes a tile of columns of BESIDE rows' gradients. Where two
// rows share words (PAIRS), a lane has both, and writes the words whole.

@group(0) @binding(22) var<storage, read> merged_in: array<Merged>; // (rows) Merged

// A row of a lane, with what all of its columns come to.
struct Known {
    row: Row,
    slope: Slope,
    scale: f32,
    writes: bool,
}

fn known(own: Share) -> Known {
    var row = row_of(own.index, own.spot.x, 0u);
    let all = merged_in[params.merged_base + (own.index - params.first_row)];
    if (STATS_GRADS) {
        row = with_stats_grads(row, own.index, all.state);
    }
    return Known(row, all.slope, all.scale, row_writes(row));
}

fn grad_of_known(own: Known, column: u32, count: u32, raw: vec4<f32>) -> vec4<f32> {
    return grad_of(own.row, own.slope, own.scale, Columns(column, count, raw, mapped_tail(raw, count)), own.writes);
}

// Columns past the end are the last one again, and go nowhere.
fn put_pairs(tile: u32, lane: u32) {
    let half = BESIDE / 2u;
    let own = share_of(tile, 2u * (lane % half), lane / half);
    if (!own.live) {
        return;
    }
    let one = known(own);
    let other = known(share_of(tile, 2u * (lane % half) + 1u, lane / half));
    let input_at = input_place(own.spot);
    let grad_at = places_of(own.spot.x, own.spot.y).grad;
    for (var column = own.first + 4u * own.part; column < own.end; column += 4u * (WIDTH / half)) {
        let count = min(own.end - column, 4u);
        let at = min(vec4<u32>(column) + QUAD, vec4<u32>(own.end - 1u)) * params.col_stride;
        let x0 = input2(input_at + at.x);
        let x1 = input2(input_at + at.y);
        let x2 = input2(input_at + at.z);
        let x3 = input2(input_at + at.w);
        let g = grad_of_known(one, column, count, vec4<f32>(x0.x, x1.x, x2.x, x3.x));
        let h = grad_of_known(other, column, count, vec4<f32>(x0.y, x1.y, x2.y, x3.y));
        put_grad_input2(grad_at + at.x, vec2<f32>(g.x, h.x));
        if (count > 1u) { put_grad_input2(grad_at + at.y, vec2<f32>(g.y, h.y)); }
        if (count > 2u) { put_grad_input2(grad_at + at.z, vec2<f32>(g.z, h.z)); }
        if (count > 3u) { put_grad_input2(grad_at + at.w, vec2<f32>(g.w, h.w)); }
    }
}

fn put_each(tile: u32, lane: u32) {
    let own = share_of(tile, lane % BESIDE, lane / BESIDE);
    if (!own.live) {
        return;
    }
    var row = row_of(own.index, own.spot.x, 0u);
    let all = merged_in[params.merged_base + (own.index - params.first_row)];
    if (STATS_GRADS) {
        row = with_stats_grads(row, own.index, all.state);
    }
    put_columns(
        row, all.state, all.slope, all.scale, places_of(own.spot.x, own.spot.y), row_writes(row),
        input_place(own.spot), own.part, own.first, own.end);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return;
    }
    if (PAIRS) {
        put_pairs(tile, lane);
    } else {
        put_each(tile, lane);
    }
}
