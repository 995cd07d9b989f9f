// Long rows that lie across, first pass: looks at each row's label, and at its logit and weight. As in
// driver/wide_open.wgsl, the tile that has the label's column opens the row, and the first tile one without a class.

@group(0) @binding(21) var<storage, read_write> rows_out: array<Opened>; // (rows) Opened

@compute @workgroup_size(BESIDE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return;
    }
    let own = share_of(tile, lane, 0u);
    if (!own.live) {
        return;
    }
    let nth = own.index - params.first_row;
    let words = label_words(params.targets_base + nth);
    let kept = classify(words, params.ignore, params.cols) == KEPT;
    let column = select(0u, words.x, kept);
    if ((column < own.first) | (column >= own.end)) {
        return;
    }
    var weight = 0.0;
    if (kept) {
        weight = class_weight(column);
    }
    let row = row_open(own.index, own.spot.x, own.spot.y, input_place(own.spot));
    rows_out[params.rows_base + nth] = Opened(row, weight);
}
