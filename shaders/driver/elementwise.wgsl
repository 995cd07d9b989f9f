// A loss of single elements, with operands that broadcast: forward, backward or both, as the output pieces say.
//
// The elements lie in blocks (the runs behind some dimension, long enough to fill many tiles; see src/plan), the
// blocks in tiles of TILE elements. A workgroup folds a tile: lane p takes the quads p, p + WIDTH, … of it, and
// the tile's sum is a fixed tree. TILE depends on the adapter's tuning alone, so splitting the work never changes bits.
//
// A loss supplies: loss, grad, and grad_t and grad_u where the target and the third operand are differentiable.

// Places of the operands in `base`, `mode` and `strides` of the params.
const AT_input: u32 = 0u;
const AT_targets: u32 = 1u;
const AT_third: u32 = 2u;
const AT_weight: u32 = 3u;
const AT_grad_output: u32 = 4u;
const AT_loss_out: u32 = 5u;
const AT_grad_input: u32 = 6u;
const AT_grad_targets: u32 = 7u;
const AT_grad_third: u32 = 8u;

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

// NaN in gives NaN out, whatever a compiler makes of max(NaN, x).
fn or_nan(values: vec4<f32>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    let none = vec4<u32>(0x7f800000u);
    let sign = vec4<u32>(0x7fffffffu);
    let poisoned = ((bitcast<vec4<u32>>(x) & sign) > none) | ((bitcast<vec4<u32>>(t) & sign) > none)
        | ((bitcast<vec4<u32>>(u) & sign) > none);
    return select(values, vec4<f32>(params.nan), poisoned);
}

fn grad_or_nan(values: vec4<f32>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    if (NAN_GRADS) {
        return or_nan(values, x, t, u);
    }
    return values;
}

// The sum of a quad's losses; writes what is written per element.
fn quad_loss(e: u32, count: u32) -> f32 {
    let x = read_input(e, count);
    let t = read_targets(e, count);
    let u = read_third(e, count);
    let w = read_weight(e, count);
    glance(x);
    var sum = 0.0;
    if (WANTS_LOSS) {
        let each = vec4<f32>(loss(x.x, t.x, u.x), loss(x.y, t.y, u.y), loss(x.z, t.z, u.z), loss(x.w, t.w, u.w));
        let l = w * or_nan(each, x, t, u);
        write_loss_out(e, count, l);
        let kept = select(vec4<f32>(0.0), l, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
        sum = (kept.x + kept.y) + (kept.z + kept.w);
    }
    if (WANTS_GRAD) {
        let scale = params.scale * read_grad_output(e, count) * w;
        let each = vec4<f32>(grad(x.x, t.x, u.x), grad(x.y, t.y, u.y), grad(x.z, t.z, u.z), grad(x.w, t.w, u.w));
        write_grad_input(e, count, scale * grad_or_nan(each, x, t, u));
        write_grad_t(e, count, scale, x, t, u);
        write_grad_u(e, count, scale, x, t, u);
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

    // Sums of four quads, of four such sums, and so on up: no long run of additions, which would drift.
    let quads = TILE / (4u * WIDTH);
    var total = 0.0;
    for (var c = 0u; c < quads; c += 64u) {
        var of_64 = 0.0;
        for (var b = c; b < min(c + 64u, quads); b += 16u) {
            var of_16 = 0.0;
            for (var a = b; a < b + 16u; a += 4u) {
                var of_4 = 0.0;
                for (var quad = a; quad < a + 4u; quad++) {
                    let e = 4u * (quad * WIDTH + lane);
                    if (e < len) {
                        of_4 += quad_loss(start + e, min(len - e, 4u));
                    }
                }
                of_16 += of_4;
            }
            of_64 += of_16;
        }
        total += of_64;
    }
    put_tile_loss(tile, lane, total);
    put_tile_fault(tile, lane, start, len);
}
