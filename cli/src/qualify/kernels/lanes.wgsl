// Lanes of a workgroup that read what others wrote, turn by turn, with barriers between: through workgroup memory and
// through storage. `flip`: bits of what one lane of the last workgroup writes that are turned over.

struct Params {
    turns: u32,
    groups: u32,
    flip: u32,
    spare: u32,
}

const WIDTH: u32 = 256u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<storage, read_write> shelf: array<u32>;
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>;

var<workgroup> shared_words: array<u32, 256>;

fn fault(group: u32, lane: u32) -> u32 {
    return select(0u, params.flip, (group == params.groups - 1u) & (lane == 77u));
}

@compute @workgroup_size(256)
fn workgroup_memory(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var value = group.x * WIDTH + lane;
    for (var turn = 0u; turn < params.turns; turn++) {
        shared_words[lane] = value;
        workgroupBarrier();
        let other = shared_words[(lane + 37u * turn + 1u) % WIDTH];
        workgroupBarrier();
        value = value * 3u + other;
    }
    out[group.x * WIDTH + lane] = value ^ fault(group.x, lane);
}

@compute @workgroup_size(256)
fn storage_memory(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var value = group.x * WIDTH + lane;
    for (var turn = 0u; turn < params.turns; turn++) {
        shelf[group.x * WIDTH + lane] = value;
        storageBarrier();
        workgroupBarrier();
        let other = shelf[group.x * WIDTH + (lane + 37u * turn + 1u) % WIDTH];
        storageBarrier();
        workgroupBarrier();
        value = value * 3u + other;
    }
    out[group.x * WIDTH + lane] = value ^ fault(group.x, lane);
}

// Every lane of all workgroups adds, and takes its part in a maximum, an or, and a word changed where it is unchanged.
@compute @workgroup_size(256)
fn atomics(@builtin(global_invocation_id) id: vec3<u32>) {
    let value = id.x ^ select(0u, params.flip, id.x == 77u);
    atomicAdd(&counts[0], value);
    atomicMax(&counts[1], value);
    atomicOr(&counts[2], 1u << (id.x % 32u));
    // The lower half of a word by some lanes, the upper by others, as 16-bit results are written.
    let half = select(1u, 65536u, (id.x & 1u) == 1u);
    var seen = atomicLoad(&counts[3]);
    for (var tries = 0u; tries < 30000u; tries++) {
        let done = atomicCompareExchangeWeak(&counts[3], seen, seen + half);
        if done.exchanged {
            break;
        }
        seen = done.old_value;
    }
}
