// Class targets, u8, four to a word.
@group(0) @binding(2) var<storage, read> targets: array<u32>; // (rows / 4) u8

fn label_words(i: u32) -> vec2<u32> {
    return vec2<u32>((targets[i >> 2u] >> (8u * (i & 3u))) & 0xffu, 0u);
}
