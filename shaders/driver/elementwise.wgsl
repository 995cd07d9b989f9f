// A loss of single elements, with operands that broadcast: forward, backward or both, as the output pieces say.
//
// The elements lie in blocks (the runs behind some dimension, long enough to fill many tiles; see src/plan), the
// blocks in tiles of TILE elements. A workgroup folds a tile: lane p takes the quads p, p + WIDTH, … of it, and
// the tile's sum is a fixed tree. TILE depends on the adapter's tuning alone, so splitting the work never changes bits.
//
// A loss supplies: loss, grad, and grad_t and grad_u where the target and the third operand are differentiable.

const INPUT: u32 = 0u;
const TARGETS: u32 = 1u;
const THIRD: u32 = 2u;
const WEIGHT: u32 = 3u;
const GRAD_OUTPUT: u32 = 4u;
const LOSS: u32 = 5u;
const GRAD_INPUT: u32 = 6u;
const GRAD_TARGETS: u32 = 7u;
const GRAD_THIRD: u32 = 8u;

const SINGLE: u32 = 1u;

fn mode_of(operand: u32) -> u32 {
    return params.mode[operand / 4u][operand % 4u];
}

fn base_of(operand: u32) -> u32 {
    return params.base[operand / 4u][operand % 4u];
}

// STRIDED has a bit for each operand that is walked by strides: a constant, so that for the others no such code is
// left. (Software adapters run both sides of a branch, with lanes masked.)
fn is_strided(operand: u32) -> bool {
    return (STRIDED & (1u << operand)) != 0u;
}

// Where element e of this dispatch lies in an operand. Among strides, the coordinates of e are those of the dispatch's
// origin plus e, carried through the dimensions; all arithmetic is modulo 2^32, and the result is within the window.
fn place(operand: u32, e: u32) -> u32 {
    var at = base_of(operand);
    if (!is_strided(operand)) {
        return at + select(e, 0u, mode_of(operand) == SINGLE);
    }
    var carry = e;
    for (var d = 0u; d < params.dims; d++) {
        let origin = params.origin[d / 4u][d % 4u];
        let size = params.sizes[d / 4u][d % 4u];
        let moved = origin + carry;
        let coordinate = moved % size;
        carry = moved / size;
        at += (coordinate - origin) * params.strides[2u * operand + d / 4u][d % 4u];
    }
    return at;
}

// The places of four elements from e on; past `count`, the last one again.
fn places(operand: u32, e: u32, count: u32) -> vec4<u32> {
    let last = e + count - 1u;
    return vec4<u32>(
        place(operand, e), place(operand, min(e + 1u, last)),
        place(operand, min(e + 2u, last)), place(operand, min(e + 3u, last)));
}

fn is_run(operand: u32, count: u32) -> bool {
    return count == 4u && !is_strided(operand) && mode_of(operand) != SINGLE;
}

fn read_input(e: u32, count: u32) -> vec4<f32> {
    if (is_run(INPUT, count)) {
        return input4(base_of(INPUT) + e, 1u);
    }
    let at = places(INPUT, e, count);
    return vec4<f32>(input1(at.x), input1(at.y), input1(at.z), input1(at.w));
}

fn read_targets(e: u32, count: u32) -> vec4<f32> {
    if (is_run(TARGETS, count)) {
        return targets4(base_of(TARGETS) + e, 1u);
    }
    let at = places(TARGETS, e, count);
    return vec4<f32>(targets1(at.x), targets1(at.y), targets1(at.z), targets1(at.w));
}

fn read_third(e: u32, count: u32) -> vec4<f32> {
    if (is_run(THIRD, count)) {
        return third4(base_of(THIRD) + e, 1u);
    }
    let at = places(THIRD, e, count);
    return vec4<f32>(third1(at.x), third1(at.y), third1(at.z), third1(at.w));
}

fn read_weight(e: u32, count: u32) -> vec4<f32> {
    if (is_run(WEIGHT, count)) {
        return weight4(base_of(WEIGHT) + e, 1u);
    }
    let at = places(WEIGHT, e, count);
    return vec4<f32>(weight1(at.x), weight1(at.y), weight1(at.z), weight1(at.w));
}

fn read_grad_output(e: u32, count: u32) -> vec4<f32> {
    if (is_run(GRAD_OUTPUT, count)) {
        return grad_output4(base_of(GRAD_OUTPUT) + e, 1u);
    }
    let at = places(GRAD_OUTPUT, e, count);
    return vec4<f32>(grad_output1(at.x), grad_output1(at.y), grad_output1(at.z), grad_output1(at.w));
}

// NaN in gives NaN out, whatever a compiler makes of max(NaN, x).
fn unless_nan(value: f32, x: f32, t: f32, u: f32) -> f32 {
    return select(value, params.nan, is_nan(x) || is_nan(t) || is_nan(u));
}

fn loss4(x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        unless_nan(loss(x.x, t.x, u.x), x.x, t.x, u.x), unless_nan(loss(x.y, t.y, u.y), x.y, t.y, u.y),
        unless_nan(loss(x.z, t.z, u.z), x.z, t.z, u.z), unless_nan(loss(x.w, t.w, u.w), x.w, t.w, u.w));
}

fn grad4(x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        unless_nan(grad(x.x, t.x, u.x), x.x, t.x, u.x), unless_nan(grad(x.y, t.y, u.y), x.y, t.y, u.y),
        unless_nan(grad(x.z, t.z, u.z), x.z, t.z, u.z), unless_nan(grad(x.w, t.w, u.w), x.w, t.w, u.w));
}

fn write_loss_out(e: u32, count: u32, value: vec4<f32>) {
    if (is_run(LOSS, count)) {
        put_loss_out4(base_of(LOSS) + e, 1u, value);
        return;
    }
    let at = places(LOSS, e, count);
    put_loss_out1(at.x, value.x);
    if (count > 1u) { put_loss_out1(at.y, value.y); }
    if (count > 2u) { put_loss_out1(at.z, value.z); }
    if (count > 3u) { put_loss_out1(at.w, value.w); }
}

fn write_grad_input(e: u32, count: u32, value: vec4<f32>) {
    if (is_run(GRAD_INPUT, count)) {
        put_grad_input4(base_of(GRAD_INPUT) + e, 1u, value);
        return;
    }
    let at = places(GRAD_INPUT, e, count);
    put_grad_input1(at.x, value.x);
    if (count > 1u) { put_grad_input1(at.y, value.y); }
    if (count > 2u) { put_grad_input1(at.z, value.z); }
    if (count > 3u) { put_grad_input1(at.w, value.w); }
}

// The sum of a quad's losses; writes what is written per element.
fn quad_loss(e: u32, count: u32) -> f32 {
    let x = read_input(e, count);
    let t = read_targets(e, count);
    let u = read_third(e, count);
    let w = read_weight(e, count);
    var sum = 0.0;
    if (WANTS_LOSS) {
        let l = w * loss4(x, t, u);
        write_loss_out(e, count, l);
        let kept = select(vec4<f32>(0.0), l, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
        sum = (kept.x + kept.y) + (kept.z + kept.w);
    }
    if (WANTS_GRAD) {
        let scale = params.scale * read_grad_output(e, count) * w;
        write_grad_input(e, count, scale * grad4(x, t, u));
        write_other_grads(e, count, scale, x, t, u);
    }
    return sum;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = params.first_tile + group.y * params.groups_x + group.x;
    if (tile >= params.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let nth = tile % params.block_tiles;
    let start = (tile / params.block_tiles - params.first_block) * params.block_len + nth * TILE - params.skip;
    let len = select(TILE, params.last_len, nth == params.block_tiles - 1u);

    // Sums of 16 quads, then the sum of those: no long run of additions, which would drift.
    var total = 0.0;
    for (var outer = 0u; outer < TILE / (64u * WIDTH); outer++) {
        var sum = 0.0;
        for (var quad = 0u; quad < 16u; quad++) {
            let e = 4u * ((outer * 16u + quad) * WIDTH + lane);
            if (e < len) {
                sum += quad_loss(start + e, min(len - e, 4u));
            }
        }
        total += sum;
    }
    put_tile_loss(tile, lane, total);
}
