// What fast math, which is Metal's default, must not see through. Compilers may then assume that nothing is NaN or
// infinite, that zeros have no sign, and that parentheses mean nothing: `max(x, LOWEST)` of a constant becomes x,
// `x != x` becomes false, and `a * (a / b)` becomes `a * a / b`. So bounds come from the params, and numbers that were
// computed are told by their bits, which go through `zero` of the params: that it is 0, no compiler knows. (Numbers as
// they were read are told by their bits alone: nothing was assumed of them.)
//
// tests/hostile takes each call of these functions away, one by one, and has to see it missed.

// x as an integer.
fn bits_of(x: f32) -> u32 {
    return bitcast<u32>(x) ^ params.zero;
}

// x as a factor or a term by itself, that no compiler takes apart.
fn whole(x: f32) -> f32 {
    return bitcast<f32>(bits_of(x));
}

fn whole4(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(params.zero));
}

// At least the most negative finite f32.
fn floored(x: f32) -> f32 {
    return max(x, params.lowest);
}

// Within the finite f32.
fn bounded(x: f32) -> f32 {
    return clamp(x, params.lowest, -params.lowest);
}

fn is_nan(x: f32) -> bool {
    return (bits_of(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bits_of(x) & 0x7f800000u) != 0x7f800000u;
}

fn is_neg_inf(x: f32) -> bool {
    return bits_of(x) == 0xff800000u;
}

// 0, or what an adapter may take for it: a subnormal number. Nothing is assumed of zeros; but a comparison with 0.0
// before a product would go, since 0 times any number is 0.
fn is_zero(x: f32) -> bool {
    return (bitcast<i32>(x) & 0x7f800000) == 0;
}

fn is_zero4(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<i32>>(x) & vec4<i32>(0x7f800000)) == vec4<i32>(0);
}

// Of |x| as bits, the largest of many.
fn marks_nan(bits: u32) -> bool {
    return bits > 0x7f800000u;
}

// Of numbers as they were read.
fn is_nan4(x: vec4<f32>) -> vec4<bool> {
    return abs_bits(x) > vec4<i32>(0x7f800000);
}

fn is_finite4(x: vec4<f32>) -> vec4<bool> {
    return abs_bits(x) < vec4<i32>(0x7f800000);
}
