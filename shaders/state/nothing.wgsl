// The state of a loss that needs no statistics of its rows.
struct State {
    nothing: u32,
}

fn identity() -> State {
    return State(0u);
}

fn merge(a: State, b: State) -> State {
    return a;
}
