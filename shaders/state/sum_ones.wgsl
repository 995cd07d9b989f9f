// Counts: exact beyond 2^24, where a sum in f32 is not.
struct State {
    sum: u32,
}

const RESULT_WORDS: u32 = 1u;

fn identity() -> State {
    return State(0u);
}

fn merge(a: State, b: State) -> State {
    return State(a.sum + b.sum);
}

// Items are 0 or 1.
fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    let ones = vec4<u32>(x);
    return State(s.sum + ((ones.x + ones.y) + (ones.z + ones.w)));
}

fn result(s: State) -> array<u32, 1> {
    return array<u32, 1>(s.sum);
}
