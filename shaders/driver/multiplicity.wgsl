// How often each class is named in each row's list of labels, which its first negative entry ends: m of
// loss/multilabel_margin.wgsl. One lane per class, WIDTH classes per workgroup, `blocks` workgroups per row.
// An entry out of range names no class; the pass that counts the labels reports it.
struct Params {
    cols: u32,         // classes, and entries of a list
    first_tile: u32,   // this dispatch takes tiles first_tile .. end_tile: tile = row * blocks + block
    end_tile: u32,
    groups_x: u32,     // workgroups along x, to join x and y into one index
    blocks: u32,       // ceil(cols / WIDTH)
    first_row: u32,    // the row that the windows begin with
    targets_base: u32, // where the window's first element lies in its binding
    grad_targets_base: u32, // likewise in the output's
}

@group(0) @binding(0) var<uniform> params: Params;

struct Count {
    open: bool, // no negative entry so far
    times: f32,
}

fn count1(c: Count, label: u32, i: u32, end: u32) -> Count {
    let words = label_words(min(i, end - 1u));
    let open = c.open && i < end && words.y < 0x80000000u;
    return Count(open, c.times + select(0.0, 1.0, open && all(words == vec2<u32>(label, 0u))));
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = params.first_tile + group.y * params.groups_x + group.x;
    if (tile >= params.end_tile) {
        return;
    }
    let row = tile / params.blocks - params.first_row;
    let label = (tile % params.blocks) * WIDTH + lane;
    let start = params.targets_base + row * params.cols;
    let end = start + params.cols;
    var c = Count(true, 0.0);
    // Lanes beyond the last class count too, so that no loop stands in a branch.
    for (var i = start; i < end; i += 4u) {
        c = count1(c, label, i, end);
        c = count1(c, label, i + 1u, end);
        c = count1(c, label, i + 2u, end);
        c = count1(c, label, i + 3u, end);
    }
    if (label < params.cols) {
        put_grad_targets1(params.grad_targets_base + row * params.cols + label, c.times);
    }
}
