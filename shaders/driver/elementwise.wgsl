// A loss of single elements, with operands that broadcast: forward, backward or both, as the output pieces say.
//
// The elements lie in blocks (the runs behind some dimension, long enough to fill many tiles; see src/plan), the
// blocks in tiles of TILE elements. A workgroup folds a tile: lane p takes the quads p, p + WIDTH, … of it, and
// the tile's sum is a fixed tree. TILE follows from shape, dtypes and tuning, so splitting the work never changes bits.
//
// A loss supplies: loss, grad, and grad_t and grad_u where the target and the third operand are differentiable.

// `ElementParams` in src/layout.rs is the Rust side. The index of an operand in `base` and `strides` is its constant
// below.
struct Params {
    first_tile: u32,    // this dispatch folds tiles first_tile .. end_tile
    end_tile: u32,
    groups_x: u32,      // workgroups along x, to join x and y into one index
    block_tiles: u32,   // tiles do not cross a block
    block_len: u32,     // elements of a block, modulo 2^32
    last_len: u32,      // elements of a block's last tile
    first_block: u32,   // the block in which this dispatch begins
    skip: u32,          // elements of that block before this dispatch's first, modulo 2^32
    dims: u32,
    scale: f32,         // of the reduction
    nan: f32,
    states_base: u32,   // where the state of first_tile goes
    scalars_0_3: vec4<f32>, // the loss's own, read by their names (src/scalars.rs)
    scalars_4_7: vec4<f32>,
    first_place: vec2<u32>, // the number of this dispatch's first element, as two words
    faults_base: u32,   // where the fault of first_tile goes
    zero: u32,          // see math/guard.wgsl
    base: array<vec4<u32>, 3>,     // where the element of this dispatch's origin lies in its binding
    sizes: array<vec4<u32>, 2>,    // dimensions, innermost first
    origin: array<vec4<u32>, 2>,   // coordinates of this dispatch's first element, innermost first
    strides: array<vec4<u32>, 24>, // two vectors per operand, innermost first
}

// Places of the operands in `base` and `strides` of the params.
const AT_input: u32 = 0u;
const AT_targets: u32 = 1u;
const AT_third: u32 = 2u;
const AT_weight: u32 = 3u;
const AT_grad_output: u32 = 4u;
const AT_loss_out: u32 = 5u;
const AT_grad_input: u32 = 6u;
const AT_grad_targets: u32 = 7u;
const AT_grad_third: u32 = 8u;

fn base_of(operand: u32) -> u32 {
    return params.base[operand / 4u][operand % 4u];
}

// STRIDED has a bit for each operand that is walked by strides, SINGLE for each that is one element for all: constants,
// so that for the others no such code is left. (Software adapters run both sides of a branch, with lanes masked.)
fn is_strided(operand: u32) -> bool {
    return (STRIDED & (1u << operand)) != 0u;
}

fn is_single(operand: u32) -> bool {
    return (SINGLE & (1u << operand)) != 0u;
}

// Where four elements of this dispatch lie in an operand, from e on; past `count`, the last one again. Among strides,
// the coordinates of e are those of the dispatch's origin plus e, carried through the dimensions, and those of the
// elements behind it a few more, of which a carry is told by comparing: a dimension has at least two elements. What is
// carried to the outermost is within it. All arithmetic is modulo 2^32, and the result is within the window.
fn places(operand: u32, e: u32, count: u32) -> vec4<u32> {
    let behind = min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(count - 1u));
    var at = vec4<u32>(base_of(operand));
    if (!is_strided(operand)) {
        return at + select(e + behind, vec4<u32>(0u), is_single(operand));
    }
    var carry = e;
    var more = behind; // the carry of each, less that of the first
    let outermost = uniforms.dims - 1u;
    for (var d = 0u; d < outermost; d++) {
        let origin = uniforms.origin[d / 4u][d % 4u];
        let size = uniforms.sizes[d / 4u][d % 4u];
        let moved = origin + carry;
        carry = moved / size;
        let reached = moved - carry * size + more;
        let once = reached >= vec4<u32>(size);
        let twice = reached >= vec4<u32>(2u * size);
        more = select(vec4<u32>(0u), select(vec4<u32>(1u), vec4<u32>(2u), twice), once);
        let left = select(vec4<u32>(0u), select(vec4<u32>(size), vec4<u32>(2u * size), twice), once);
        at += (reached - left - origin) * uniforms.strides[2u * operand + d / 4u][d % 4u];
    }
    return at + (carry + more) * uniforms.strides[2u * operand + outermost / 4u][outermost % 4u];
}

// NaN in gives NaN out, whatever a compiler makes of max(NaN, x).
fn or_nan(values: vec4<f32>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    return select(values, vec4<f32>(params.nan), is_nan4(x) | is_nan4(t) | is_nan4(u));
}

fn grad_or_nan(values: vec4<f32>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    if (NAN_GRADS) {
        return or_nan(values, x, t, u);
    }
    return values;
}

// Numbers times factors, of which those at `zeros` are 0. Where finite numbers make finite results (FINITE), an
// infinity of theirs is only beyond f32, and 0 of it is 0.
fn times(factor: vec4<f32>, zeros: vec4<bool>, values: vec4<f32>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    if (FINITE) {
        return select(factor * values, vec4<f32>(0.0), zeros & is_finite4(x) & is_finite4(t) & is_finite4(u));
    }
    return factor * values;
}

// Derivatives by the target and by the third operand, of a loss that has none.
// default
fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return 0.0;
}

// default
fn grad_u(x: f32, t: f32, u: f32) -> f32 {
    return 0.0;
}

// Takes a look at a quad of the input, which may hold any number or was inspected before. See fault/element.wgsl.
// default
fn glance(x: vec4<f32>) {}

// default
fn put_tile_fault(tile: u32, lane: u32, start: u32, len: u32) {}

// What becomes of the sum of a tile's losses: nothing, where each is an output.
// default
fn put_tile_loss(tile: u32, lane: u32, total: f32) {}

// What a quad's loss is made of.
struct Quad {
    x: vec4<f32>,
    t: vec4<f32>,
    u: vec4<f32>,
    w: vec4<f32>,
    upstream: vec4<f32>,
}

fn read_quad(e: u32, count: u32) -> Quad {
    var upstream = vec4<f32>(1.0);
    if (WANTS_GRAD) {
        upstream = read_grad_output(e, count);
    }
    return Quad(read_input(e, count), read_targets(e, count), read_third(e, count), read_weight(e, count), upstream);
}

// The sum of a quad's losses; writes what is written per element.
fn quad_loss(e: u32, count: u32, q: Quad) -> f32 {
    let x = q.x;
    let t = q.t;
    let u = q.u;
    let w = q.w;
    glance(x);
    var sum = 0.0;
    if (WANTS_LOSS) {
        let each = vec4<f32>(loss(x.x, t.x, u.x), loss(x.y, t.y, u.y), loss(x.z, t.z, u.z), loss(x.w, t.w, u.w));
        let l = times(w, is_zero4(w), or_nan(each, x, t, u), x, t, u);
        write_loss_out(e, count, l);
        let kept = select(vec4<f32>(0.0), l, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
        sum = (kept.x + kept.y) + (kept.z + kept.w);
    }
    if (WANTS_GRAD) {
        let scale = params.scale * q.upstream * w;
        let zeros = is_zero4(q.upstream) | is_zero4(w);
        let each = vec4<f32>(grad(x.x, t.x, u.x), grad(x.y, t.y, u.y), grad(x.z, t.z, u.z), grad(x.w, t.w, u.w));
        write_grad_input(e, count, times(scale, zeros, grad_or_nan(each, x, t, u), x, t, u));
        if (WANTS_GRAD_T) {
            let by_t = vec4<f32>(
                grad_t(x.x, t.x, u.x), grad_t(x.y, t.y, u.y), grad_t(x.z, t.z, u.z), grad_t(x.w, t.w, u.w));
            write_grad_targets(e, count, times(scale, zeros, grad_or_nan(by_t, x, t, u), x, t, u));
        }
        if (WANTS_GRAD_U) {
            let by_u = vec4<f32>(
                grad_u(x.x, t.x, u.x), grad_u(x.y, t.y, u.y), grad_u(x.z, t.z, u.z), grad_u(x.w, t.w, u.w));
            write_grad_third(e, count, times(scale, zeros, grad_or_nan(by_u, x, t, u), x, t, u));
        }
    }
    return sum;
}

// Four quads, WIDTH apart, that are all there. They are read before the first is written.
fn of_4(e: u32) -> f32 {
    let q0 = read_quad(e, 4u);
    let q1 = read_quad(e + 4u * WIDTH, 4u);
    let q2 = read_quad(e + 8u * WIDTH, 4u);
    let q3 = read_quad(e + 12u * WIDTH, 4u);
    var sum = quad_loss(e, 4u, q0);
    sum += quad_loss(e + 4u * WIDTH, 4u, q1);
    sum += quad_loss(e + 8u * WIDTH, 4u, q2);
    return sum + quad_loss(e + 12u * WIDTH, 4u, q3);
}

// Sums of four quads, of four such sums, and so on up: no long run of additions, which would drift.
struct Sums {
    of_4: f32,
    of_16: f32,
    of_64: f32,
    total: f32,
}

// `fours` sums of four quads are in `s`.
fn carried(s: Sums, fours: u32) -> Sums {
    var r = s;
    if ((fours & 3u) == 0u) {
        r.of_64 += r.of_16;
        r.of_16 = 0.0;
    }
    if ((fours & 15u) == 0u) {
        r.total += r.of_64;
        r.of_64 = 0.0;
    }
    return r;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let nth = tile % params.block_tiles;
    let start = (tile / params.block_tiles - params.first_block) * params.block_len + nth * TILE - params.skip;
    let len = select(TILE, params.last_len, nth == params.block_tiles - 1u);

    var s = Sums(0.0, 0.0, 0.0, 0.0);
    var runs = 0u;
    if (AHEAD) {
        runs = len / (16u * WIDTH);
        for (var run = 0u; run < runs; run++) {
            s.of_16 += of_4(start + run * 16u * WIDTH + 4u * lane);
            s = carried(s, run + 1u);
        }
    }
    // Quads by themselves: all of them, or up to four of a block's last tile. The last may be short.
    let quads = (len + 3u) / 4u;
    for (var quad = runs * 4u * WIDTH; quad < quads; quad += WIDTH) {
        let e = 4u * (quad + lane);
        if (e < len) {
            let count = min(len - e, 4u);
            s.of_4 += quad_loss(start + e, count, read_quad(start + e, count));
        }
        let nth = quad / WIDTH + 1u;
        if ((nth & 3u) == 0u) {
            s.of_16 += s.of_4;
            s.of_4 = 0.0;
            s = carried(s, nth >> 2u);
        }
    }
    let total = s.total + (s.of_64 + (s.of_16 + s.of_4));
    put_tile_loss(tile, lane, total);
    put_tile_fault(tile, lane, start, len);
}
