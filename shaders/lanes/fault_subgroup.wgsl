// The tree of lanes/fault_workgroup.wgsl where the workgroup is one subgroup: the same fault on lane 0. What other
// lanes come to is read by nobody.
fn tile_fault(lane: u32, mine: Fault) -> Fault {
    var fault = mine;
    for (var half = WIDTH / 2u; half > 0u; half = half / 2u) {
        fault = join_faults(fault, Fault_from_lane(fault, (lane + half) % WIDTH));
    }
    return fault;
}
