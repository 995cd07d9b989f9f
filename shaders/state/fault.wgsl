// Faults as what driver/reduce.wgsl folds.
alias State = Fault;

const RESULT_WORDS: u32 = 4u;

fn identity() -> State {
    return no_fault();
}

fn merge(a: State, b: State) -> State {
    return join_faults(a, b);
}

fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    return join_faults(s, placed(seen4(x, count), params.first_place, item - params.first_item));
}

// `Fault` in src/layout.rs is its Rust side.
fn result(s: State) -> array<u32, 4> {
    return array<u32, 4>(s.count, s.first_low, s.first_high, s.bits);
}
