// 16-bit floats, two to a word in the order of memory. BF16 says what they mean: a kernel has one kind here
// (access/read_bf16.wgsl has the other). Of f16, UNPACKS_F16 and PACKS_F16 say that the device's own conversions were
// found to be exact (`Limits` in src/limits.rs).
// Elsewhere f16 is made of integers and of f32 numbers that are neither infinite nor subnormal nor NaN. One addition
// rounds, as all devices do for f32: to nearest even.

// Four of them, as two words.
fn from_words(words: vec2<u32>) -> vec4<f32> {
    if (UNPACKS_F16) {
        return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
    }
    if (BF16) {
        let upper = vec2<u32>(0xffff0000u);
        let low = words << vec2<u32>(16u);
        let high = words & upper;
        return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
    }
    return f16_to_f32(vec4<u32>(words.x << 16u, words.x, words.y << 16u, words.y));
}

fn to_words(x: vec4<f32>) -> vec2<u32> {
    if (PACKS_F16) {
        return vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw));
    }
    if (BF16) {
        let rounded = f32_to_bf16(x);
        return (rounded.yw & vec2<u32>(0xffff0000u)) | (rounded.xz >> vec2<u32>(16u));
    }
    let b = bitcast<vec4<u32>>(x);
    let sizes = f32_to_f16(b);
    let low = insertBits(b.xz >> vec2<u32>(16u), sizes.xz, 0u, 15u);
    return low | (sizes.yw << vec2<u32>(16u)) | (b.yw & vec2<u32>(0x80000000u));
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
        return bitcast<vec4<f32>>(h << vec4<u32>(16u));
    }
    if (UNPACKS_F16) {
        let words = join_half(h);
        return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
    }
    return f16_to_f32(h << vec4<u32>(16u));
}

fn to_half4(x: vec4<f32>) -> vec4<u32> {
    if (BF16) {
        return f32_to_bf16(x) >> vec4<u32>(16u);
    }
    if (PACKS_F16) {
        let words = vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw));
        return vec4<u32>(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u);
    }
    let b = bitcast<vec4<u32>>(x);
    return insertBits(b >> vec4<u32>(16u), f32_to_f16(b), 0u, 15u);
}

// The upper half of an f32, rounded to nearest even; what is in the lower one means nothing.
fn f32_to_bf16(x: vec4<f32>) -> vec4<u32> {
    let b = bitcast<vec4<u32>>(x);
    let rounded = b + vec4<u32>(0x7fffu) + extractBits(b, 16u, 1u);
    // Rounding could carry a NaN over to a number. Twice the bits are those of |x|.
    return select(rounded, vec4<u32>(0x7fc00000u), (b << vec4<u32>(1u)) > vec4<u32>(0xff000000u));
}

// Of the upper half of each word. Moved down by three bits the exponent, five bits, ends where that of an f32 does, and
// copies of the sign, which a shift of signed numbers brings, fill the rest of it.
fn f16_to_f32(h: vec4<u32>) -> vec4<f32> {
    let moved = bitcast<vec4<u32>>(bitcast<vec4<i32>>(h) >> vec4<u32>(3u));
    // From a bias of 15 to one of 127.
    let number = (moved & vec4<u32>(0x0fffe000u)) + vec4<u32>(0x38000000u);
    // 2^-15 (1 + m / 1024) stands where subnormal numbers have m / 1024 of 2^-14, twice that less 2^-14, which is
    // exact. Of all others that is no less than they are.
    let small = bitcast<vec4<u32>>(2.0 * bitcast<vec4<f32>>(number) - vec4<f32>(6.103515625e-5));
    let size = min(number, small);
    // From 2^16 on, infinity and NaN: their exponent is full.
    let bits = select(size, size | vec4<u32>(0x38000000u), number >= vec4<u32>(0x47800000u));
    return bitcast<vec4<f32>>(bits | (moved & vec4<u32>(0x80000000u)));
}

// Of the bits of an f32: rounded to nearest even, without the sign: bit 15 is 0, and the bits above it mean nothing.
fn f32_to_f16(b: vec4<u32>) -> vec4<u32> {
    let a = b & vec4<u32>(0x7fffffffu);
    let size = min(a, vec4<u32>(0x477ff000u)); // 65520, which becomes an infinity
    let exponent = max(size >> vec4<u32>(23u), vec4<u32>(113u)); // that of 2^-14, where subnormal numbers begin
    // Beside a number whose exponent is greater by 13, what is behind the tenth bit is rounded away: what is left are
    // the lower bits of the sum, 1024 and more of a normal number, which so raises its exponent by one. They begin at
    // 0x3c00: less the bias of f32, 113 << 10, to 16 bits.
    let unit = (exponent << vec4<u32>(23u)) + vec4<u32>(0x06803c00u);
    let sum = bitcast<vec4<u32>>(bitcast<vec4<f32>>(size) + bitcast<vec4<f32>>(unit));
    return select(sum + (exponent << vec4<u32>(10u)), vec4<u32>(0x7e00u), a > vec4<u32>(0x7f800000u));
}
