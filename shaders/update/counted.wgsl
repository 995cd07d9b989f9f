// Steps are counted on the device, which skips some: of two words the one at `turn` is the count so far, and the other
// becomes what it is after this step. So no workgroup reads what another writes.
@group(0) @binding(26) var<storage, read_write> count: array<u32>; // (2)

// Steps taken before this one.
var<private> taken: u32;

// Reads the count; the `first` invocation of all counts this step, where it is taken.
fn count_step(first: bool, goes: bool) {
    taken = count[params.turn];
    if (first) {
        count[1u - params.turn] = taken + select(0u, 1u, goes);
    }
}

// 1 - (1 - rest)^t of the t-th step, which this is.
fn correction(rest: f32) -> f32 {
    let t = f32(taken) + 1.0;
    return select(-exp_minus(t * log1m(min(rest, 0.9999999)), 1.0), 1.0, rest >= 0.9999999);
}
