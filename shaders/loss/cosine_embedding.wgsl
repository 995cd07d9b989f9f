// Cosine embedding loss of rows a and b with target t, and A = sum a_i^2 + EPS, B = sum b_i^2 + EPS:
//
//   cos  = sum a_i b_i / sqrt(A B)
//   loss = 1 - cos                    t = 1
//          max(0, cos - margin)       t = -1
//          0                          any other t
//   d cos / d a_i = b_i / sqrt(A B) - cos a_i / A      and the same for b with A and B exchanged
//
// Rows of nearly one direction and length lose all digits in 1 - cos and in that difference. They are told from the
// rows' difference, D = sum (a_i - b_i)^2, S = sum (a_i - b_i)(a_i + b_i), with a' = sqrt(A), b' = sqrt(B):
//
//   a' - b' = S / (a' + b')
//   1 - cos = (D / 2 - (a' - b')^2 / 2 + EPS) / (a' b')                    since 2 sum a_i b_i = A + B - 2 EPS - D
//   d cos / d a_i = ((b_i - a_i) + b_i (a' - b') / b' + a_i (1 - cos)) / A

const EPS: f32 = 1e-12; // PyTorch's

struct State {
    ab: f32,
    aa: f32,
    bb: f32,
    gap: f32,  // D
    skew: f32, // S
}

fn identity() -> State {
    return State(0.0, 0.0, 0.0, 0.0, 0.0);
}

fn merge(p: State, q: State) -> State {
    return State(p.ab + q.ab, p.aa + q.aa, p.bb + q.bb, p.gap + q.gap, p.skew + q.skew);
}

// Missing columns are 0 and add nothing.
fn row_push4(s: State, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, count: u32) -> State {
    let d = a - b;
    return State(s.ab + dot(a, b), s.aa + dot(a, a), s.bb + dot(b, b), s.gap + dot(d, d), s.skew + dot(d, a + b));
}

struct Angle {
    a: f32,      // a'
    b: f32,      // b'
    lead: f32,   // a' - b'
    cos: f32,
    miss: f32,   // 1 - cos
    near: bool,  // the second form is the better one
}

fn angle(s: State) -> Angle {
    let a = sqrt(s.aa + EPS);
    let b = sqrt(s.bb + EPS);
    let lead = s.skew / (a + b);
    let near = s.gap <= a * b;
    let cos = s.ab / a / b;
    let miss = select(1.0 - cos, (0.5 * max(s.gap - lead * lead, 0.0) + EPS) / a / b, near);
    return Angle(a, b, lead, cos, miss, near);
}

fn row_loss(s: State, t: f32) -> f32 {
    let w = angle(s);
    if (t == 1.0) {
        return select(w.miss, params.nan, is_nan(w.cos)); // infinities, which max(NaN, 0) would hide
    }
    let over = w.cos - margin();
    return select(0.0, select(max(over, 0.0), over, is_nan(over)), t == -1.0);
}

// The gradient of a is own a + other b + apart (b - a), that of b the same with a and b exchanged.
struct Slope {
    own: vec2<f32>,
    other: vec2<f32>,
    apart: vec2<f32>,
    none: u32, // 1 where the target is no sign: 0, whatever the rows
}

fn row_slope(s: State, t: f32) -> Slope {
    let w = angle(s);
    // d loss / d cos; the kink has none.
    var sign = select(0.0, 1.0, (t == -1.0) & (w.cos > margin()));
    sign = select(sign, -1.0, t == 1.0);
    sign = select(sign, params.nan, is_nan(w.cos) & (abs(t) == 1.0));
    let none = select(1u, 0u, abs(t) == 1.0);
    let a = vec2<f32>(w.a, w.b);
    let b = a.yx;
    let lead = vec2<f32>(w.lead, -w.lead);
    if (w.near) {
        let share = sign / a / a;
        return Slope(share * w.miss, share * (lead / b), share, none);
    }
    return Slope(-sign * w.cos / a / a, sign / a / b, vec2<f32>(0.0), none);
}

fn row_grad_a4(slope: Slope, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    let g = slope.apart.x * (b - a) + (slope.own.x * a + slope.other.x * b);
    return select(g, vec4<f32>(0.0), slope.none == 1u);
}

fn row_grad_b4(slope: Slope, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    let g = slope.apart.y * (a - b) + (slope.own.y * b + slope.other.y * a);
    return select(g, vec4<f32>(0.0), slope.none == 1u);
}

fn row_grad_c4(slope: Slope, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(0.0);
}
