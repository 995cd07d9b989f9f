const RESULT_WORDS: u32 = 2u;

// As an i64: two words, low first.
fn result(s: State) -> array<u32, 2> {
    return array<u32, 2>(s.item, s.item_high);
}
