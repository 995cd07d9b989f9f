// Items are one column of the rows' records. A state supplies push_quad.
@group(0) @binding(10) var<storage, read> records: array<f32>; // (rows, 8) words: `Record` of outcome/row.wgsl

fn push_items(s: State, item: u32, count: u32) -> State {
    let at = params.base + 8u * (item - params.first_item) + COLUMN;
    var x = vec4<f32>(0.0);
    x.x = records[at];
    if (count > 1u) { x.y = records[at + 8u]; }
    if (count > 2u) { x.z = records[at + 16u]; }
    if (count > 3u) { x.w = records[at + 24u]; }
    return push_quad(s, item, x, count);
}
