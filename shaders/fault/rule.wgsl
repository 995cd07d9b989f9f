// What breaks the rule of an operand. RULE is its number. Rules are told by bits, since
// adapters may flush the smallest numbers to 0.
const FINITE_NUMBER: u32 = 0u;
const UNIT_INTERVAL: u32 = 1u;
const NON_NEGATIVE: u32 = 2u;
const SIGN: u32 = 3u;

// The largest bits that are in [0, 1]: as unsigned numbers, those of 0 to 1 come first.
const PLAIN_BITS: u32 = 0x3f800000u;

fn breaks(x: f32) -> bool {
    let bits = bitcast<u32>(x);
    if (RULE == FINITE_NUMBER) {
        return !is_finite(x);
    }
    if (RULE == UNIT_INTERVAL) {
        return (bits > PLAIN_BITS) & (bits != 0x80000000u); // -0 is 0
    }
    if (RULE == NON_NEGATIVE) {
        return bits > 0x80000000u; // those behind -0
    }
    return (bits & 0x7fffffffu) != 0x3f800000u; // neither 1 nor -1
}
