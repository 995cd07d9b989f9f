// Upstream gradients of rows side by side, where statistics have some, too: those of the loss, of the log-sum-exp and
// of the entropy. The drivers of rows bind them all at once, as `grad_output` of three numbers to a row.
struct Params {
    first_tile: u32,
    end_tile: u32,
    groups_x: u32,
    len: u32,        // rows
    first_row: u32,  // that the windows begin with
    grad_output_base: u32,
    grad_output_step: u32, // 0: one for all rows
    grad_lse_base: u32,
    grad_entropy_base: u32,
    result_base: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(11) var<storage, read_write> result_out: array<f32>; // (rows, 3) f32

// Of a statistic without an upstream gradient, 0.
fn by_lse(nth: u32) -> f32 {
    if (HAS_LSE) {
        return grad_lse1(params.grad_lse_base + nth);
    }
    return 0.0;
}

fn by_entropy(nth: u32) -> f32 {
    if (HAS_ENTROPY) {
        return grad_entropy1(params.grad_entropy_base + nth);
    }
    return 0.0;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let start = tile * TILE;
    let len = min(params.len - start, TILE);
    for (var k = lane; k < len; k += WIDTH) {
        let nth = start + k - params.first_row;
        let at = params.result_base + 3u * nth;
        result_out[at] = grad_output1(params.grad_output_base + nth * params.grad_output_step);
        result_out[at + 1u] = by_lse(nth);
        result_out[at + 2u] = by_entropy(nth);
    }
}
