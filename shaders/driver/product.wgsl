// A tile of a product of two matrices: line r of `left` times line c of `right`, added up along the depth in order,
// from what the sum begins with: cuts of the depth whose dispatches go on where the one before ended have the bits of
// one.
//
// A workgroup makes TILE_ROWS by TILE_COLS elements. It brings SLAB quads of the depth of both operands at a time into
// workgroup memory, those of the next slab into registers meanwhile. A lane has DOWN quads of rows and ACROSS quads of
// columns; neighbours among the lanes have neighbouring quads.
//
// Operands supply left_block and right_block (product/lines.wgsl, product/columns.wgsl). What sums begin with, and what
// becomes of them, says product/written.wgsl or product/folded.wgsl: first_of and end_sums.
// Four lines at four places of the depth: a quad of lines for each place.
struct Block {
    at: array<vec4<f32>, 4>,
}

const left_quads: u32 = TILE_ROWS / 4u; // of lines of a tile
const right_quads: u32 = TILE_COLS / 4u;
const LANES_DOWN: u32 = left_quads / DOWN;
const LANES_ACROSS: u32 = right_quads / ACROSS;
const left_blocks: u32 = left_quads * SLAB; // of a slab

// By place of the depth, quad of it by quad of it, then by quads of lines, left ones first. The place of a quad hangs
// on that of the depth, so that lanes that write a column of blocks meet no bank twice. As bits: what is folded goes
// through it, too.
var<workgroup> slab: array<array<array<vec4<u32>, left_quads + right_quads>, 4>, SLAB>;
var<private> sums: array<array<vec4<f32>, ACROSS>, 4u * DOWN>;
var<private> ahead: array<Block, 2>;

fn swapped(quad: u32, depth_quad: u32) -> u32 {
    return quad ^ (2u * depth_quad);
}

fn keep_block(quad: u32, depth_quad: u32, block: Block) {
    slab[depth_quad][0][quad] = bitcast<vec4<u32>>(block.at[0]);
    slab[depth_quad][1][quad] = bitcast<vec4<u32>>(block.at[1]);
    slab[depth_quad][2][quad] = bitcast<vec4<u32>>(block.at[2]);
    slab[depth_quad][3][quad] = bitcast<vec4<u32>>(block.at[3]);
}

fn keep_left(block: u32, own: Block) {
    let depth_quad = left_place(block) / 4u;
    keep_block(swapped(left_line(block) / 4u, depth_quad), depth_quad, own);
}

fn keep_right(block: u32, own: Block) {
    let depth_quad = right_place(block) / 4u;
    keep_block(left_quads + swapped(right_line(block) / 4u, depth_quad), depth_quad, own);
}

// What a lane brings of a slab: a block of either operand, or, where there are lanes for all blocks (APART), of one.
fn read_ahead(lane: u32, row: u32, col: u32, depth: u32) {
    if (!APART) {
        ahead[0] = left_block(row + left_line(lane), depth + left_place(lane));
        ahead[1] = right_block(col + right_line(lane), depth + right_place(lane));
    } else if (lane < left_blocks) {
        ahead[0] = left_block(row + left_line(lane), depth + left_place(lane));
    } else {
        let own = lane - left_blocks;
        ahead[0] = right_block(col + right_line(own), depth + right_place(own));
    }
}

fn keep_ahead(lane: u32) {
    if (!APART) {
        keep_left(lane, ahead[0]);
        keep_right(lane, ahead[1]);
    } else if (lane < left_blocks) {
        keep_left(lane, ahead[0]);
    } else {
        keep_right(lane - left_blocks, ahead[0]);
    }
}

// What a slab adds to the sums of a lane.
fn add_slab(down: u32, across: u32) {
    for (var k = 0u; k < SLAB; k++) {
        for (var c = 0u; c < PLACES; c++) { // unrolled
            for (var i = 0u; i < DOWN; i++) { // unrolled
                let a = bitcast<vec4<f32>>(slab[k][c][swapped(down + i * LANES_DOWN, k)]);
                for (var j = 0u; j < ACROSS; j++) { // unrolled
                    let b = bitcast<vec4<f32>>(slab[k][c][left_quads + swapped(across + j * LANES_ACROSS, k)]);
                    sums[4u * i][j] = fma(vec4<f32>(a.x), b, sums[4u * i][j]);
                    sums[4u * i + 1u][j] = fma(vec4<f32>(a.y), b, sums[4u * i + 1u][j]);
                    sums[4u * i + 2u][j] = fma(vec4<f32>(a.z), b, sums[4u * i + 2u][j]);
                    sums[4u * i + 3u][j] = fma(vec4<f32>(a.w), b, sums[4u * i + 3u][j]);
                }
            }
        }
    }
}

// Row r of a lane's, in the tile.
fn line_of(down: u32, r: u32) -> u32 {
    return 4u * (down + (r / 4u) * LANES_DOWN) + r % 4u;
}

fn bias_of(col: u32) -> f32 {
    return linear_bias1(params.bias_base + min(col, params.right_lines - 1u) * params.bias_step);
}

// The sums of four columns and their bias, where there is one. It comes last: sums that begin with a large one would
// be rounded as it is, term by term.
fn with_bias(own: vec4<f32>, col: u32) -> vec4<f32> {
    if (BIASED) {
        return own + vec4<f32>(bias_of(col), bias_of(col + 1u), bias_of(col + 2u), bias_of(col + 3u));
    }
    return own;
}

// Tiles go down TURN of them, then one to the right: what they read of either operand is near.
fn tile_place(tile: u32, down: u32, across: u32) -> vec2<u32> {
    let turn = tile / (TURN * across);
    let high = min(down - turn * TURN, TURN);
    let own = tile - turn * TURN * across;
    return vec2<u32>(turn * TURN + own % high, own / high);
}

// Rows and places of the depth that take part: all.
// default
fn lines_there() -> u32 {
    return uniforms.left_lines;
}

// default
fn depth_there() -> u32 {
    return uniforms.depth;
}

// The next place of the depth, from one on, of which something comes: that one.
// default
fn next_depth(line: u32, depth: u32, end: u32) -> u32 {
    return depth;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let place = tile_place(
        tile, (uniforms.left_lines + TILE_ROWS - 1u) / TILE_ROWS, (uniforms.right_lines + TILE_COLS - 1u) / TILE_COLS);
    let row = place.x * TILE_ROWS;
    let col = place.y * TILE_COLS;
    // Conditions that are the same for the whole workgroup: all that they read is, and nobody writes it.
    var depth_end = depth_there();
    if (row >= lines_there()) {
        if (LEAVES) {
            return; // nothing of these rows is wanted
        }
        depth_end = 0u; // their sums are 0
    }
    params.left_lines = lines_there();
    params.depth = depth_end;
    let down = lane / LANES_ACROSS;
    let across = lane % LANES_ACROSS;
    for (var r = 0u; r < LINES; r++) { // unrolled
        for (var j = 0u; j < ACROSS; j++) { // unrolled
            sums[r][j] = first_of(row + line_of(down, r), col + 4u * (across + j * LANES_ACROSS));
        }
    }
    let begin = next_depth(row, 0u, depth_end);
    if (begin < depth_end) {
        read_ahead(lane, row, col, begin);
    }
    var next = begin;
    for (var depth = begin; depth < depth_end; depth = next) {
        workgroupBarrier();
        keep_ahead(lane);
        workgroupBarrier();
        next = next_depth(row, depth + 4u * SLAB, depth_end);
        if (next < depth_end) {
            read_ahead(lane, row, col, next);
        }
        add_slab(down, across);
    }
    end_sums(lane, row, col, down, across);
}
