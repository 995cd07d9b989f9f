// Class targets, u32: extended to i64 as two words, low first.
@group(0) @binding(2) var<storage, read> targets: array<u32>; // (rows) u32

fn label_words(i: u32) -> vec2<u32> {
    return vec2<u32>(targets[i], 0u);
}
