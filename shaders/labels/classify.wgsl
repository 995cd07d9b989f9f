// What a class target says, decided in one place for every kernel that reads one.
const KEPT: u32 = 0u;
const IGNORED: u32 = 1u;
const BAD: u32 = 2u; // outside 0 .. classes: counted and reported, never followed

// `words` is the label as an i64. ignore_index, where there is one, wins over the range, as in PyTorch.
fn classify(words: vec2<u32>, ignore_index: vec2<u32>, classes: u32) -> u32 {
    let kind = select(BAD, KEPT, (words.y == 0u) & (words.x < classes));
    return select(kind, IGNORED, IGNORES & all(words == ignore_index));
}
