// What a batch's class targets add up to: the denominator of `mean`, and the fault record.
struct State {
    weight: f32,   // sum of sample_weight weight[target] over the rows kept
    rows: f32,     // sum of sample_weight over the rows kept
    kept: u32,
    ignored: u32,
    bad: u32,
    first_bad: u32, // the first row with a label out of range, 0xffffffff if there is none
    bad_low: u32,   // that label, as the two words of an i64
    bad_high: u32,
}

const RESULT_WORDS: u32 = 10u;

fn identity() -> State {
    return State(0.0, 0.0, 0u, 0u, 0u, 0xffffffffu, 0u, 0u);
}

fn merge(a: State, b: State) -> State {
    let first = b.first_bad < a.first_bad;
    return State(
        a.weight + b.weight,
        a.rows + b.rows,
        a.kept + b.kept,
        a.ignored + b.ignored,
        a.bad + b.bad,
        min(a.first_bad, b.first_bad),
        select(a.bad_low, b.bad_low, first),
        select(a.bad_high, b.bad_high, first),
    );
}

// One over a denominator. Nothing but weights of 0 is NaN, as 0 / 0 is in PyTorch; of no rows at all, what the caller
// asked for.
fn factor(sum: f32, kept: u32) -> f32 {
    if (kept == 0u) {
        return params.empty;
    }
    return select(1.0 / sum, params.nan, sum == 0.0);
}

// `control`: one over the denominator, then the record; `Control` in src/layout.rs is its Rust side.
fn result(s: State) -> array<u32, 10> {
    return array<u32, 10>(
        bitcast<u32>(factor(s.weight, s.kept)), bitcast<u32>(s.weight),
        s.kept, s.ignored, s.bad, s.first_bad, s.bad_low, s.bad_high,
        bitcast<u32>(factor(s.rows, s.kept)), bitcast<u32>(s.rows));
}
