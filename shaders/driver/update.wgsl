// One optimizer step: parameter, gradient and state are read once, parameter and state written over themselves.
//
// A tile is TILE elements; lane p of a workgroup takes the quads p, p + WIDTH, … of it. An element meets no other.
//
// An optimizer supplies: update, of four elements at once. A gate supplies goes, whether the step is taken, and
// let_through, what gradients become first; where steps are COUNTED on the device, update/counted.wgsl has
// count_step.

// `UpdateParams` in src/layout.rs is the Rust side.
struct Params {
    tiles: u32,       // of this dispatch
    groups_x: u32,    // workgroups along x, to join x and y into one index
    len: u32,         // elements of this dispatch
    param_base: u32,  // where the first of them lies in each binding
    grad_base: u32,
    moment_base: u32,
    square_base: u32,
    peak_base: u32,
    scalars_0_3: vec4<f32>, // the optimizer's own, read by their names (src/scalars.rs)
    scalars_4_7: vec4<f32>,
    turn: u32,  // which word of the count is that before this step
    first: u32, // the count with which the state begins, all ones where it was there before
    zero: u32,  // see math/guard.wgsl
    pad0: u32,
}

// The parameter and what an optimizer remembers of its gradients; what it does not use is 1, and goes nowhere.
struct Element {
    param: vec4<f32>,
    moment: vec4<f32>,
    square: vec4<f32>,
    peak: vec4<f32>,
}

fn update_quad(e: u32) {
    let old = Element(
        param4(params.param_base + e, 1u), moment4(params.moment_base + e, 1u),
        square4(params.square_base + e, 1u), peak4(params.peak_base + e, 1u));
    let next = update(old, let_through(grad4(params.grad_base + e, 1u)));
    put_param4(params.param_base + e, 1u, next.param);
    put_moment4(params.moment_base + e, 1u, next.moment);
    put_square4(params.square_base + e, 1u, next.square);
    put_peak4(params.peak_base + e, 1u, next.peak);
}

fn update_single(e: u32) {
    let old = Element(
        vec4<f32>(param1(params.param_base + e)), vec4<f32>(moment1(params.moment_base + e)),
        vec4<f32>(square1(params.square_base + e)), vec4<f32>(peak1(params.peak_base + e)));
    let next = update(old, let_through(vec4<f32>(grad1(params.grad_base + e))));
    put_param1(params.param_base + e, next.param.x);
    put_moment1(params.moment_base + e, next.moment.x);
    put_square1(params.square_base + e, next.square.x);
    put_peak1(params.peak_base + e, next.peak.x);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.tiles) {
        return;
    }
    let is_taken = goes();
    if (COUNTED) {
        count_step((tile == 0u) & (lane == 0u), is_taken);
    }
    if (!is_taken) {
        return;
    }
    let start = tile * TILE;
    let len = min(params.len - start, TILE);
    for (var quad = 0u; quad < TILE / (4u * WIDTH); quad++) {
        let e = 4u * (quad * WIDTH + lane);
        if (e + 3u < len) {
            update_quad(start + e);
        } else if (e < len) {
            for (var k = e; k < len; k++) {
                update_single(start + k);
            }
        }
    }
}
