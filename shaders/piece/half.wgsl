// Two 16-bit floats to a word, in the order of memory; half_f16 and half_bf16 say what they mean.
fn split_half(words: vec2<u32>) -> vec4<u32> {
    return vec4<u32>(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u);
}

fn join_half(h: vec4<u32>) -> vec2<u32> {
    return vec2<u32>(h.x | (h.y << 16u), h.z | (h.w << 16u));
}

fn from_half(h: u32) -> f32 {
    return from_half4(vec4<u32>(h)).x;
}

fn to_half(x: f32) -> u32 {
    return to_half4(vec4<f32>(x)).x;
}
