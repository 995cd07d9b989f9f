// What is outside [0, 1]: as unsigned numbers, the bits of 0 to 1 come first, and -0 is 0. (Told by bits: adapters may
// flush the smallest negative numbers to 0.)
fn breaks(x: f32) -> bool {
    let bits = bitcast<u32>(x);
    return bits > 0x3f800000u && bits != 0x80000000u;
}
