// As many storage bindings as WebGPU promises: eight, each of which is read as itself.

struct Params {
    flip: u32,
    a: u32,
    b: u32,
    c: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b1: array<u32>;
@group(0) @binding(2) var<storage, read> b2: array<u32>;
@group(0) @binding(3) var<storage, read> b3: array<u32>;
@group(0) @binding(4) var<storage, read> b4: array<u32>;
@group(0) @binding(5) var<storage, read> b5: array<u32>;
@group(0) @binding(6) var<storage, read> b6: array<u32>;
@group(0) @binding(7) var<storage, read> b7: array<u32>;
@group(0) @binding(8) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    let low = b1[i] | (b2[i] << 4u) | (b3[i] << 8u) | (b4[i] << 12u);
    let high = (b5[i] << 16u) | (b6[i] << 20u) | (b7[i] << 24u);
    out[i] = (low | high) ^ select(0u, params.flip, i == 9u);
}
