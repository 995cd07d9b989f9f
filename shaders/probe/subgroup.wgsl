// Whether subgroups are what lanes/*_subgroup.wgsl take for granted: in a workgroup of WIDTH invocations along one
// dimension they lie one after the other, all of SUBGROUP, and a lane reads the register of any other of its own.
//
// Of the words of `result_out`, AT counts the invocations that found it otherwise, AT + 1 all that came here.
@group(0) @binding(11) var<storage, read_write> result_out: array<atomic<u32>>; // two for each width

// What a lane has that no other has.
fn mark(lane: u32) -> vec4<u32> {
    return vec4<u32>(lane, ~lane, lane * 2654435761u, lane * lane + 7u);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_size) size: u32, @builtin(subgroup_invocation_id) id: u32,
) {
    let own = lane % SUBGROUP;
    let first = lane - own;
    var wrong = (size != SUBGROUP) | (id != own);
    for (var half = SUBGROUP / 2u; half > 0u; half = half / 2u) {
        let other = (own + half) % SUBGROUP;
        wrong |= any(subgroupShuffle(mark(lane), other) != mark(first + other));
        wrong |= subgroupShuffle(f32(lane), other) != f32(first + other);
        let leads = own - own % half;
        wrong |= any(subgroupShuffle(mark(lane), leads) != mark(first + leads));
    }
    atomicAdd(&result_out[AT], select(0u, 1u, wrong));
    atomicAdd(&result_out[AT + 1u], 1u);
}
