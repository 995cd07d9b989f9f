// Sum; with a scale also mean.
struct State {
    sum: f32,
}

const RESULT_WORDS: u32 = 1u;

fn identity() -> State {
    return State(0.0);
}

fn merge(a: State, b: State) -> State {
    return State(a.sum + b.sum);
}

// Missing elements are given as 0.
fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    return State(s.sum + ((x.x + x.y) + (x.z + x.w)));
}

fn result(s: State) -> array<u32, 1> {
    return array<u32, 1>(bitcast<u32>(s.sum * reduction_scale()));
}
