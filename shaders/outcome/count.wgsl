// Class targets counted on the way, where only the sum of the losses waits for their count: for each tile the `State`
// of state/count.wgsl, of rows that weigh 1.
struct Counted {
    weight: f32,
    rows: f32,
    kept: u32,
    ignored: u32,
    bad: u32,
    first_bad: u32,
    bad_low: u32,
    bad_high: u32,
}

@group(0) @binding(24) var<storage, read_write> counts_out: array<Counted>; // (tiles) Counted

// Rows kept, ignored and bad, and the first that is bad.
var<private> counts: vec4<u32> = vec4<u32>(0u, 0u, 0u, 0xffffffffu);

fn count_row(row: Row, index: u32, is_there: bool) {
    let is = vec3<u32>(row.kind) == vec3<u32>(KEPT, IGNORED, BAD);
    let one = vec4<u32>(select(vec3<u32>(0u), vec3<u32>(1u), is), select(0xffffffffu, index, is.z));
    counts = joined(counts, select(vec4<u32>(0u, 0u, 0u, 0xffffffffu), one, is_there));
}

fn put_counts(tile: u32, lane: u32) {
    let all = tile_counts(lane, counts);
    if (lane == 0u) {
        var words = vec2<u32>(0u);
        if (all.z > 0u) {
            words = label_words(params.targets_base + (all.w - params.first_row));
        }
        let rows = f32(all.x);
        counts_out[params.counts_base + (tile - params.first_tile)] =
            Counted(rows, rows, all.x, all.y, all.z, all.w, words.x, words.y);
    }
}
