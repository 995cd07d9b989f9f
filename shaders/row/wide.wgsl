// Wide rows are cut into tiles of TILE columns, one workgroup to each: row by row, block_tiles of them to a row.
struct Tile {
    place: u32, // of the row among those that the passes go over, and of its cells in what these hand on
    index: u32, // the row
    slab: u32,  // counted from the window's first
    first: u32, // its columns are first .. end
    end: u32,
}

fn tile_at(tile: u32) -> Tile {
    let place = params.block_row + tile / params.block_tiles;
    let first = params.first_col + (tile % params.block_tiles) * TILE;
    return Tile(place, row_at(place), place - params.first_slab, first, first + min(params.cols - first, TILE));
}

// The row at a place: passes go over rows in their order, but for those of row/ordered.wgsl.
// default
fn row_at(place: u32) -> u32 {
    return place;
}

// Whether the columns of a row are folded, and their gradient wanted.
// default
fn is_folded(place: u32) -> bool {
    return true;
}

// Where column 0 of the row would lie in its binding, modulo 2^32: the window may begin at a later one.
fn input_row(slab: u32) -> u32 {
    return params.input_base + slab * params.input_stride;
}

// A wide row of which nothing has to be read before its columns.
// default
fn row_of(place: u32, slab: u32, input_at: u32) -> Row {
    return row_open(place, slab, 0u, input_at);
}

// Keeps what the pass that writes a row's columns needs: no such pass follows.
// default
fn keep(place: u32, index: u32, row: Row, s: State) {}

// What the passes over wide rows hand on, in cells of sizes that no loss changes; src/plan/rows/wide.rs knows them.

// A row as its label's tile saw it, and the weight of the label's class, 0 where there is none:
// labels/weight_opened.wgsl reads that as the last word.
struct Opened {
    @size(28) row: Row,
    weight: f32,
}

// The columns of a tile.
struct Folded {
    @size(32) state: State,
}

// All of a row.
struct Merged {
    @size(32) state: State,
    @size(28) slope: Slope,
    scale: f32,
}
