// What lanes know of their subgroup, and what they read of each other: for each lane the size, its place, and what it
// got from the lanes whose place differs in one bit, and from the one half a subgroup further. `flip`: bits of lane
// 0's that are turned over.

struct Params {
    flip: u32,
    a: u32,
    b: u32,
    c: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_size) size: u32,
    @builtin(subgroup_invocation_id) place: u32,
) {
    let value = lane * 2654435761u + 12345u;
    let near = subgroupShuffleXor(value, 1u);
    let far = subgroupShuffleXor(value, size / 2u);
    let next = subgroupShuffle(value, (place + size / 2u + 1u) % size);
    let first = subgroupShuffle(value, 0u);
    out[6u * lane] = size;
    out[6u * lane + 1u] = place;
    out[6u * lane + 2u] = near ^ select(0u, params.flip, lane == 0u);
    out[6u * lane + 3u] = far;
    out[6u * lane + 4u] = next;
    out[6u * lane + 5u] = first;
}
