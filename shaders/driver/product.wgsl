// A tile of a product of two matrices: line r of `left` times line c of `right`, added up along the depth, into element
// (r, c) of `product`. The sum begins with 0, or with what is there (ADDS), and goes along the depth in order: cuts of
// the depth whose dispatches add to each other have the bits of one.
//
// A workgroup makes TILE_ROWS by TILE_COLS elements. It brings SLAB quads of the depth of both operands at a time into
// workgroup memory, those of the next slab into registers meanwhile. A lane has DOWN quads of rows and ACROSS quads of
// columns; neighbours among the lanes have neighbouring quads.
//
// Operands supply left_block and right_block (product/lines.wgsl, product/columns.wgsl).
struct Params {
    left_lines: u32, // in this dispatch: the rows of the product
    right_lines: u32, // its columns
    depth: u32,
    end_tile: u32,
    groups_x: u32,
    left_base: u32, // of the first element in its binding, as all bases
    left_stride: u32, // from one line to the next, or from one depth to the next
    right_base: u32,
    right_stride: u32,
    product_base: u32,
    product_stride: u32,
    pad0: u32,
}

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
// on that of the depth, so that lanes that write a column of blocks meet no bank twice.
var<workgroup> slab: array<array<array<vec4<f32>, left_quads + right_quads>, 4>, SLAB>;
var<private> sums: array<array<vec4<f32>, ACROSS>, 4u * DOWN>;
var<private> ahead: array<Block, 2>;

fn swapped(quad: u32, depth_quad: u32) -> u32 {
    return quad ^ (2u * depth_quad);
}

fn keep_block(quad: u32, depth_quad: u32, block: Block) {
    slab[depth_quad][0][quad] = block.at[0];
    slab[depth_quad][1][quad] = block.at[1];
    slab[depth_quad][2][quad] = block.at[2];
    slab[depth_quad][3][quad] = block.at[3];
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
        for (var c = 0u; c < QUAD; c++) { // unrolled
            for (var i = 0u; i < DOWN; i++) { // unrolled
                let a = slab[k][c][swapped(down + i * LANES_DOWN, k)];
                for (var j = 0u; j < ACROSS; j++) { // unrolled
                    let b = slab[k][c][left_quads + swapped(across + j * LANES_ACROSS, k)];
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
fn row_of(down: u32, r: u32) -> u32 {
    return 4u * (down + (r / 4u) * LANES_DOWN) + r % 4u;
}

// Where four elements begin in `product`; those beyond the last column are the last.
fn product_at(row: u32, col: u32) -> u32 {
    return params.product_base + min(row, params.left_lines - 1u) * params.product_stride + col;
}

fn first_of(row: u32, col: u32) -> vec4<f32> {
    if (ADDS) {
        if (col + 4u <= params.right_lines) {
            return product4(product_at(row, col), 1u);
        }
        let last = params.right_lines - 1u;
        return vec4<f32>(
            product1(product_at(row, min(col, last))), product1(product_at(row, min(col + 1u, last))),
            product1(product_at(row, min(col + 2u, last))), product1(product_at(row, min(col + 3u, last))));
    }
    return vec4<f32>();
}

fn put_sum(row: u32, col: u32, sum: vec4<f32>) {
    if ((row >= params.left_lines) | (col >= params.right_lines)) {
        return;
    }
    let at = product_at(row, col);
    if (col + 4u <= params.right_lines) {
        put_product4(at, 1u, sum);
        return;
    }
    put_product1(at, sum.x);
    if (col + 1u < params.right_lines) {
        put_product1(at + 1u, sum.y);
    }
    if (col + 2u < params.right_lines) {
        put_product1(at + 2u, sum.z);
    }
}

// Tiles go down TURN of them, then one to the right: what they read of either operand is near.
fn tile_place(tile: u32, down: u32, across: u32) -> vec2<u32> {
    let turn = tile / (TURN * across);
    let high = min(down - turn * TURN, TURN);
    let own = tile - turn * TURN * across;
    return vec2<u32>(turn * TURN + own % high, own / high);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let place = tile_place(
        tile, (params.left_lines + TILE_ROWS - 1u) / TILE_ROWS, (params.right_lines + TILE_COLS - 1u) / TILE_COLS);
    let row = place.x * TILE_ROWS;
    let col = place.y * TILE_COLS;
    let down = lane / LANES_ACROSS;
    let across = lane % LANES_ACROSS;
    for (var r = 0u; r < LINES; r++) { // unrolled
        for (var j = 0u; j < ACROSS; j++) { // unrolled
            sums[r][j] = first_of(row + row_of(down, r), col + 4u * (across + j * LANES_ACROSS));
        }
    }
    if (uniforms.depth > 0u) {
        read_ahead(lane, row, col, 0u);
    }
    for (var depth = 0u; depth < uniforms.depth; depth += 4u * SLAB) {
        workgroupBarrier();
        keep_ahead(lane);
        workgroupBarrier();
        if (depth + 4u * SLAB < uniforms.depth) {
            read_ahead(lane, row, col, depth + 4u * SLAB);
        }
        add_slab(down, across);
    }
    for (var r = 0u; r < LINES; r++) { // unrolled
        for (var j = 0u; j < ACROSS; j++) { // unrolled
            put_sum(row + row_of(down, r), col + 4u * (across + j * LANES_ACROSS), sums[r][j]);
        }
    }
}
