// Long rows that lie across memory, side by side: a workgroup takes TILE columns of BESIDE of them, so that its lanes
// read whole sectors. A lane takes one row, and of that the quads part, part + LANES, … of the tile's columns. Every
// BESIDE rows of a slab, or the fewer at its end, have block_tiles tiles.
struct Share {
    index: u32, // the row
    live: bool, // there is such a row
    spot: vec2<u32>,
    part: u32,
    first: u32, // the columns are first .. end
    end: u32,
    nth: u32,   // of the tiles of a row
}

fn share_of(tile: u32, beside: u32, part: u32) -> Share {
    let blocks = (params.inner + BESIDE - 1u) / BESIDE; // of a slab
    let block = tile / params.block_tiles;
    let within = (block % blocks) * BESIDE + beside;
    let index = (block / blocks) * params.inner + within;
    let nth = tile % params.block_tiles;
    let first = nth * TILE;
    return Share(
        index, within < params.inner, spot_of(index), part, first, first + min(params.cols - first, TILE), nth);
}
