// A wide row whose label driver/wide_open.wgsl has looked up, with the label's logit and weight: most tiles do not have
// them.
@group(0) @binding(21) var<storage, read> rows_in: array<Opened>; // (rows) Opened

fn row_of(place: u32, slab: u32, input_at: u32) -> Row {
    return rows_in[params.rows_base + (place - params.first_row)].row;
}

// For row_open, which nobody calls any more: the labels are not bound.
fn label_words(i: u32) -> vec2<u32> {
    return vec2<u32>(0u);
}
