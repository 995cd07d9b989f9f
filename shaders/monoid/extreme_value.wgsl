const RESULT_WORDS: u32 = 1u;

fn result(s: State) -> array<u32, 1> {
    return array<u32, 1>(bitcast<u32>(s.value));
}
