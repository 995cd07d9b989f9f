// 16-bit floats, two to a word in the order of memory. BF16 says what they mean: a call has one kind. Of f16,
// UNPACKS_F16 and PACKS_F16 say that the device's own conversions were found to be exact (`Limits` in src/limits.rs).

// Four of them, as two words.
fn from_words(words: vec2<u32>) -> vec4<f32> {
    if (UNPACKS_F16) {
        return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
    }
    return from_half4(split_half(words));
}

fn to_words(x: vec4<f32>) -> vec2<u32> {
    if (PACKS_F16) {
        return vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw));
    }
    return join_half(to_half4(x));
}

fn split_half(words: vec2<u32>) -> vec4<u32> {
    return vec4<u32>(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u);
}

fn join_half(h: vec4<u32>) -> vec2<u32> {
    return vec2<u32>(h.x | (h.y << 16u), h.z | (h.w << 16u));
}

fn from_half(h: u32) -> f32 {
    if (UNPACKS_F16) {
        return unpack2x16float(h).x;
    }
    return from_half4(vec4<u32>(h)).x;
}

fn to_half(x: f32) -> u32 {
    if (PACKS_F16) {
        return pack2x16float(vec2<f32>(x, 0.0));
    }
    return to_half4(vec4<f32>(x)).x;
}

fn from_half4(h: vec4<u32>) -> vec4<f32> {
    if (BF16) {
        return bf16_to_f32(h);
    }
    if (UNPACKS_F16) {
        let words = join_half(h);
        return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
    }
    return f16_to_f32(h);
}

fn to_half4(x: vec4<f32>) -> vec4<u32> {
    if (BF16) {
        return f32_to_bf16(x);
    }
    if (PACKS_F16) {
        return split_half(vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw)));
    }
    return f32_to_f16(x);
}

// bf16 by integer arithmetic: the upper half of an f32, rounded to nearest even.
fn bf16_to_f32(h: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(h << vec4<u32>(16u));
}

fn f32_to_bf16(x: vec4<f32>) -> vec4<u32> {
    let b = bitcast<vec4<u32>>(x);
    let rounded = (b + vec4<u32>(0x7fffu) + ((b >> vec4<u32>(16u)) & vec4<u32>(1u))) >> vec4<u32>(16u);
    let quiet = (b >> vec4<u32>(16u)) | vec4<u32>(0x40u); // rounding could carry a NaN over to a number
    return select(rounded, quiet, (b & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
}

// f16 by integer arithmetic, so that no adapter feature is needed and overflow, subnormals and NaN are the same
// everywhere.
fn f16_to_f32(h: vec4<u32>) -> vec4<f32> {
    let sign = (h & vec4<u32>(0x8000u)) << vec4<u32>(16u);
    let rest = vec4<i32>((h & vec4<u32>(0x7fffu)) << vec4<u32>(13u)); // signed: compared in one step by processors
    // The exponent moves from a bias of 15 to one of 127; all ones stay all ones.
    let number = rest + select(vec4<i32>(0x38000000), vec4<i32>(0x70000000), rest >= vec4<i32>(0x0f800000));
    // Subnormals count 2^-24: the mantissa of a number from 2^-14 on, less 2^-14, which is exact.
    let small = bitcast<vec4<f32>>(rest + vec4<i32>(0x38800000)) - vec4<f32>(6.103515625e-5);
    let bits = select(number, bitcast<vec4<i32>>(small), rest < vec4<i32>(0x00800000));
    return bitcast<vec4<f32>>(sign | bitcast<vec4<u32>>(bits));
}

// Rounds to nearest even.
fn f32_to_f16(x: vec4<f32>) -> vec4<u32> {
    let b = bitcast<vec4<u32>>(x);
    let sign = (b >> vec4<u32>(16u)) & vec4<u32>(0x8000u);
    let a = b & vec4<u32>(0x7fffffffu);
    let moved = a - vec4<u32>(0x38000000u);
    let number = (moved + vec4<u32>(0xfffu) + ((moved >> vec4<u32>(13u)) & vec4<u32>(1u))) >> vec4<u32>(13u);
    // Below 2^-14: the mantissa with its leading 1, counted in units of 2^-24. From a shift of 25 on, less than half a
    // unit.
    let mantissa = (a & vec4<u32>(0x7fffffu)) | vec4<u32>(0x800000u);
    let shift = clamp(vec4<u32>(126u) - min(a >> vec4<u32>(23u), vec4<u32>(126u)), vec4<u32>(1u), vec4<u32>(25u));
    let half = vec4<u32>(1u) << (shift - vec4<u32>(1u));
    let kept = mantissa >> shift;
    let small = (mantissa + half - vec4<u32>(1u) + (kept & vec4<u32>(1u))) >> shift;
    var bits = select(number, small, a < vec4<u32>(0x38800000u));
    bits = select(bits, vec4<u32>(0x7c00u), a >= vec4<u32>(0x477ff000u)); // from 65520 on: infinity
    bits = select(bits, vec4<u32>(0x7e00u), a > vec4<u32>(0x7f800000u)); // NaN
    return sign | bits;
}
