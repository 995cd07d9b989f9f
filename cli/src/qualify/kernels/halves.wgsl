// WGSL's own conversions of 16-bit floats, two by two. `flip` as in functions.wgsl.

struct Params {
    op: u32,
    len: u32,
    at: u32,
    flip: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

// Of a word, its lower half as f32; of an f32, its half.
fn converted(word: u32) -> u32 {
    if params.op == 0u {
        return bitcast<u32>(unpack2x16float(word).x);
    }
    return pack2x16float(vec2<f32>(bitcast<f32>(word), 0.0)) & 0xffffu;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i < params.len {
        out[i] = converted(words[i]) ^ select(0u, params.flip, i == params.at);
    }
}
