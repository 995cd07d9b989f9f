// Wide rows are cut into tiles of TILE columns, one workgroup to each: row by row, block_tiles of them to a row.
struct Tile {
    index: u32, // the row
    slab: u32,  // counted from the window's first
    first: u32, // its columns are first .. end
    end: u32,
}

fn tile_at(tile: u32) -> Tile {
    let index = tile / params.block_tiles;
    let first = (tile % params.block_tiles) * TILE;
    return Tile(index, index - params.first_slab, first, first + min(params.cols - first, TILE));
}

// Where column 0 of the row would lie in its binding, modulo 2^32: the window may begin at a later one.
fn input_row(slab: u32) -> u32 {
    return params.input_base + slab * params.input_stride;
}
