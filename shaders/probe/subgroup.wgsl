// Whether subgroups are what lanes/*_subgroup*.wgsl take for granted: in a workgroup of WIDTH invocations along one
// dimension they lie one after the other, all of SUBGROUP, or of a multiple of it unless EXACT says so, and a lane
// reads the registers of any other of its own SUBGROUP, by number and by mask.
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
    let at = id - own; // of the first of these in the subgroup
    var wrong = (size % SUBGROUP != 0u) | (id % SUBGROUP != own);
    if (EXACT) {
        wrong |= size != SUBGROUP;
    }
    for (var half = SUBGROUP / 2u; half > 0u; half = half / 2u) {
        let other = (own + half) % SUBGROUP;
        wrong |= any(subgroupShuffle(mark(lane), at + other) != mark(first + other));
        wrong |= subgroupShuffle(f32(lane), at + other) != f32(first + other);
        let leads = own - own % half;
        wrong |= any(subgroupShuffle(mark(lane), at + leads) != mark(first + leads));
        wrong |= any(subgroupShuffleXor(mark(lane), half) != mark(lane ^ half));
        wrong |= subgroupShuffleXor(f32(lane), half) != f32(lane ^ half);
    }
    atomicAdd(&result_out[AT], select(0u, 1u, wrong));
    atomicAdd(&result_out[AT + 1u], 1u);
}
