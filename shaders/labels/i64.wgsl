// Class targets, i64 as PyTorch writes them: two words, low first.
@group(0) @binding(2) var<storage, read> targets: array<vec2<u32>>; // (rows) i64

fn label_words(i: u32) -> vec2<u32> {
    return targets[i];
}
