// One operation of each pair of numbers. `flip`: bits of the result at `at` that are turned over, which the test has to
// see.

struct Params {
    op: u32,
    len: u32,
    at: u32,
    flip: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

fn value(x: f32, y: f32) -> f32 {
    switch params.op {
        case 0u: { return exp(x); }
        case 1u: { return log(x); }
        case 2u: { return tanh(x); }
        case 3u: { return x + y; }
        case 4u: { return x * y; }
        case 5u: { return x / y; }
        case 6u: { return sqrt(x); }
        case 7u: { return max(x, y); }
        case 8u: { return min(x, y); }
        case 9u: { return x - y; }
        case 10u: { return select(0.0, 1.0, x < y); }
        case 11u: { return select(x, y, i32(y) == 1); }
        default: { return x; }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i < params.len {
        out[i] = bitcast<u32>(value(a[i], b[i])) ^ select(0u, params.flip, i == params.at);
    }
}
