// Whether the device's own conversions of f16 are exact: unpack2x16float, or (OF_PACKS) pack2x16float. Beside them are
// the integers of math/half.wgsl.
//
// Of the words of `result_out`, AT counts the invocations that found a difference, AT + 1 all that came here: 4096,
// which have sixteen of the 65,536 patterns each.
@group(0) @binding(11) var<storage, read_write> result_out: array<atomic<u32>>; // two for each direction

// Other bits, of which not both say NaN: without their signs, those are beyond infinity.
fn differ4(got: vec4<u32>, want: vec4<u32>, size: u32, infinity: u32) -> bool {
    let beyond = vec4<u32>(infinity);
    let nan = ((got & vec4<u32>(size)) > beyond) & ((want & vec4<u32>(size)) > beyond);
    return !all((got == want) | nan);
}

// Four patterns, in either half of a word.
fn unpacks(h: vec4<u32>) -> bool {
    let a = unpack2x16float(h.x | (h.y << 16u));
    let b = unpack2x16float(h.z | (h.w << 16u));
    let got = bitcast<vec4<u32>>(vec4<f32>(a, b));
    return !differ4(got, bitcast<vec4<u32>>(from_half4(h)), 0x7fffffffu, 0x7f800000u);
}

fn packs(bits: vec4<u32>) -> bool {
    let x = bitcast<vec4<f32>>(bits);
    let a = pack2x16float(x.xy);
    let b = pack2x16float(x.zw);
    let got = vec4<u32>(a & 0xffffu, a >> 16u, b & 0xffffu, b >> 16u);
    return !differ4(got, to_half4(x), 0x7fffu, 0x7c00u);
}

// f32 numbers around a pattern: itself, what is halfway to the next, and the neighbours of both; below 2^-14, where
// patterns count 2^-24, half of that more, too; and one number of any size.
fn packs_around(h: u32) -> bool {
    let own = bitcast<u32>(from_half(h));
    let sign = (h & 0x8000u) << 16u;
    let tie = sign | bitcast<u32>(f32(2u * (h & 0x3ffu) + 1u) * 2.98023223876953125e-8);
    return packs(vec4<u32>(own, own + 1u, own + 0xfffu, own + 0x1000u))
        & packs(vec4<u32>(own + 0x1001u, tie - 1u, tie, tie + 1u))
        & packs(vec4<u32>(h << 16u, (h << 16u) | h, (h << 16u) ^ 0x80000001u, sign | (h & 0x7fffu)));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
    var right = true;
    for (var k = 0u; k < 16u; k++) {
        let h = at.x * 16u + k;
        if (OF_PACKS) {
            right &= packs_around(h);
        } else {
            right &= unpacks(vec4<u32>(h, 0xffffu - h, h ^ 0x8000u, (h * 40503u) & 0xffffu));
        }
    }
    atomicAdd(&result_out[AT], select(1u, 0u, right));
    atomicAdd(&result_out[AT + 1u], 1u);
}
