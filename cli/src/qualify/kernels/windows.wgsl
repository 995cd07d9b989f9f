// The first and the last word of a window are written, and its length told. `flip`: bits of the last that are turned
// over.

struct Params {
    tag: u32,
    flip: u32,
    a: u32,
    b: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> window: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(1)
fn main() {
    let len = arrayLength(&window);
    window[0] = params.tag;
    window[len - 1u] = (params.tag + 1u) ^ params.flip;
    out[0] = len;
}
