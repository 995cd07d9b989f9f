// Integers and truth values as f32, or bytes as u32, from whatever layout into one without gaps.

struct Params {
    len: u32,
    // Elements from one row of invocations to the next.
    width: u32,
    rank: u32,
    // The first element, behind the start of the binding.
    start: u32,
    // Bytes of an element.
    bytes: u32,
    is_signed: u32,
    to_float: u32,
    pad: u32,
    shape: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
}

// Both writable: they may lie in one buffer.
@group(0) @binding(0) var<storage, read_write> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

fn number(low: u32, high: u32) -> f32 {
    if params.bytes == 8u {
        // The magnitude, in which the halves do not cancel.
        if bitcast<i32>(high) < 0 {
            let carry = select(0u, 1u, low == 0u);
            return -(f32(~high + carry) * 4294967296.0 + f32(~low + 1u));
        }
        return f32(high) * 4294967296.0 + f32(low);
    }
    if params.is_signed == 1u {
        return f32(bitcast<i32>(low));
    }
    return f32(low);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * params.width + id.x;
    if id.x >= params.width || i >= params.len {
        return;
    }
    var at = params.start;
    var rest = i;
    for (var d = params.rank; d > 0u; d--) {
        let size = params.shape[(d - 1u) / 4u][(d - 1u) % 4u];
        at += (rest % size) * params.strides[(d - 1u) / 4u][(d - 1u) % 4u];
        rest /= size;
    }
    var low = 0u;
    var high = 0u;
    switch params.bytes {
        case 1u: {
            low = (source[at / 4u] >> (8u * (at % 4u))) & 255u;
        }
        case 8u: {
            low = source[2u * at];
            high = source[2u * at + 1u];
        }
        default: {
            low = source[at];
        }
    }
    if params.to_float == 1u {
        result[i] = bitcast<u32>(number(low, high));
    } else {
        result[i] = low;
    }
}
