// log sum exp of everything, over the statistics of state/softmax.wgsl.
const RESULT_WORDS: u32 = 1u;

// The driver's quads: missing columns count as -inf.
fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    let kept = select(vec4<f32>(params.neg_inf), x, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
    return push4(s, kept, vec4<f32>(0.0), item);
}

fn result(s: State) -> array<u32, 1> {
    return array<u32, 1>(bitcast<u32>(log_sum_exp(s)));
}
