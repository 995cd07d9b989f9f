// What is outside [0, 1]: as unsigned numbers, the bits of 0 to 1 come first, and -0 is 0. (Told by bits: adapters may
// flush the smallest negative numbers to 0.)
// The largest bits that are in.
const PLAIN_BITS: u32 = 0x3f800000u;

fn breaks(x: f32) -> bool {
    let bits = bitcast<u32>(x);
    return (bits > PLAIN_BITS) & (bits != 0x80000000u);
}
