// What a workgroup's lanes have found, joined by a fixed tree through workgroup memory. Every lane comes here.
var<workgroup> tile_faults: array<Fault, WIDTH>;

fn tile_fault(lane: u32, mine: Fault) -> Fault {
    tile_faults[lane] = mine;
    workgroupBarrier(); // makes the lanes' faults visible to the tree
    for (var half = WIDTH / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            tile_faults[lane] = join_faults(tile_faults[lane], tile_faults[lane + half]);
        }
        workgroupBarrier(); // this level's faults before the next level reads them
    }
    return tile_faults[0];
}
