// The gradient of a reduction along dimensions with others between them, element by element. OF says of which:
//
//   SUM          1; of a mean 1 / n, which comes in the params
//   EXTREME      t is the extreme, u how many elements have it: equals share the gradient
//   EXPONENTIAL  of logsumexp: t is the largest element, u the sum of the terms exp(x - t). Of nothing but -inf the gradient is
//                0: its share in any sum is. At +inf it is NaN, beside that 0.
const SUM: u32 = 0u;
const EXTREME: u32 = 1u;
const EXPONENTIAL: u32 = 2u;

// The term whose total is u.
fn loss(x: f32, t: f32, u: f32) -> f32 {
    if (OF == EXTREME) {
        return select(0.0, 1.0, x == t);
    }
    if (OF == EXPONENTIAL) {
        if (!is_finite(t)) {
            return 1.0; // nobody looks
        }
        return exp(x - t);
    }
    return 0.0; // driver/row.wgsl folds
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    if (OF == EXTREME) {
        return select(0.0, 1.0 / u, x == t);
    }
    if (OF == EXPONENTIAL) {
        if (!is_finite(t)) {
            return select(0.0, params.nan, (x == t) & (t > 0.0));
        }
        return exp(x - t) / u;
    }
    return share();
}
