// Opening a row that goes in tiles: its label, and the label's logit and weight, lie in one of them, and only that
// one's window has them. So it alone opens the row, and the first tile one without a class.
@group(0) @binding(21) var<storage, read_write> rows_out: array<Opened>; // (rows) Opened

// From the tile that has the columns first .. end.
fn open_in_tile(place: u32, index: u32, spot: vec2<u32>, input_at: u32, first: u32, end: u32) {
    let words = label_words(params.targets_base + (index - params.first_row));
    let kept = classify(words, params.ignore, params.cols) == KEPT;
    let column = select(0u, words.x, kept);
    if ((column < first) | (column >= end)) {
        return;
    }
    var weight = 0.0;
    if (kept) {
        weight = class_weight(column);
    }
    rows_out[params.rows_base + (place - params.first_row)] = Opened(row_open(index, spot.x, spot.y, input_at), weight);
}
