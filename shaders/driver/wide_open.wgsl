// Wide rows, first pass, where they have class targets: looks at each row's label, and at its logit and weight. They
// lie in one tile, and only that tile's window has them; so it alone opens the row, and the first tile one without a
// class.

@group(0) @binding(21) var<storage, read_write> rows_out: array<Opened>; // (rows) Opened

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3<u32>) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return;
    }
    let own = tile_at(tile);
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
    rows_out[params.rows_base + nth] = Opened(row_open(own.index, own.slab, 0u, input_row(own.slab)), weight);
}
