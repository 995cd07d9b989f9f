// All of the workgroup memory that WebGPU promises: 16 KiB, written by 256 lanes and read the other way round.

struct Params {
    flip: u32,
    a: u32,
    b: u32,
    c: u32,
}

const WORDS: u32 = 4096u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

var<workgroup> all_words: array<u32, 4096>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    for (var i = lane; i < WORDS; i += 256u) {
        all_words[i] = i * 2654435761u + group.x;
    }
    workgroupBarrier();
    for (var i = lane; i < WORDS; i += 256u) {
        out[group.x * WORDS + i] = all_words[WORDS - 1u - i] ^ select(0u, params.flip, i == 4000u);
    }
}
