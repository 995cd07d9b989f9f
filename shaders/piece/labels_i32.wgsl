// Class targets, i32: extended to i64 as two words, low first.
@group(0) @binding(2) var<storage, read> targets: array<i32>; // (rows) i32

fn label_words(i: u32) -> vec2<u32> {
    let label = targets[i];
    return vec2<u32>(bitcast<u32>(label), select(0u, 0xffffffffu, label < 0));
}
