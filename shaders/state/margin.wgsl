// What a row falls short of its margins: the sum over its columns, and the sum of its slopes.
struct State {
    sum: f32,
    slope: f32,
    bits: u32, // the largest |z| as bits: tells NaN without a floating-point comparison
}

fn identity() -> State {
    return State(0.0, 0.0, 0u);
}

fn merge(a: State, b: State) -> State {
    return State(a.sum + b.sum, a.slope + b.slope, max(a.bits, b.bits));
}
