// bf16 by integer arithmetic: the upper half of an f32, rounded to nearest even.
fn from_half4(h: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(h << vec4<u32>(16u));
}

fn to_half4(x: vec4<f32>) -> vec4<u32> {
    let b = bitcast<vec4<u32>>(x);
    let rounded = (b + vec4<u32>(0x7fffu) + ((b >> vec4<u32>(16u)) & vec4<u32>(1u))) >> vec4<u32>(16u);
    let quiet = (b >> vec4<u32>(16u)) | vec4<u32>(0x40u); // rounding could carry a NaN over to a number
    return select(rounded, quiet, (b & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
}

