// Class targets of up to 32 bits, extended to i64 as two words, low first: i32 and u32 (SIGNED tells them apart), or
// u8, four to a word (BYTES).
@group(0) @binding(2) var<storage, read> targets: array<u32>; // (rows) u32 or i32, or (rows / 4) u8

fn label_words(i: u32) -> vec2<u32> {
    if (BYTES) {
        return vec2<u32>((targets[i >> 2u] >> (8u * (i & 3u))) & 0xffu, 0u);
    }
    let label = targets[i];
    if (SIGNED) {
        return vec2<u32>(label, select(0u, 0xffffffffu, bitcast<i32>(label) < 0));
    }
    return vec2<u32>(label, 0u);
}
