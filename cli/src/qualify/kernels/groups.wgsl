// Every workgroup of a dispatch says which it is. `flip`: bits of the last that are turned over.

struct Params {
    flip: u32,
    last: u32,
    a: u32,
    b: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let at = group.x + count.x * (group.y + count.y * group.z);
    out[at] = (at * 2654435761u + 1u) ^ select(0u, params.flip, at == params.last);
}
