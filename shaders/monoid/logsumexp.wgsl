// log sum exp over the peak-and-rest statistics of monoid/softmax.wgsl.
const RESULT_WORDS: u32 = 1u;

// The driver's quads: missing columns count as -inf.
fn push_quad(s: State, item: u32, x: vec4<f32>, count: u32) -> State {
    return push4(s, select(vec4<f32>(params.neg_inf), x, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count)), vec4<f32>(0.0));
}

fn result(s: State) -> array<u32, 1> {
    var value = s.peak + log1p(s.rest);
    if (s.bits > 0x7f800000u) {
        value = params.nan;
    } else if (!is_finite(s.peak)) {
        value = s.peak; // nothing but -inf, or a +inf
    }
    return array<u32, 1>(bitcast<u32>(value));
}
