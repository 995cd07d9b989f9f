// The values of an operand that break a rule: how many there are, and the first of them. fault/rule.wgsl says which
// rule, NAN_BREAKS whether NaN breaks it, too.
struct Fault {
    count: u32,       // stops at 2^32 - 1
    first_low: u32,   // the number of the first one's element, of 64 bits; all ones if there is none
    first_high: u32,
    bits: u32,        // its value
}

fn no_fault() -> Fault {
    return Fault(0u, 0xffffffffu, 0xffffffffu, 0u);
}

fn join_faults(a: Fault, b: Fault) -> Fault {
    let count = a.count + b.count;
    let earlier = (b.first_high < a.first_high) | ((b.first_high == a.first_high) & (b.first_low < a.first_low));
    return Fault(
        select(count, 0xffffffffu, count < a.count),
        select(a.first_low, b.first_low, earlier),
        select(a.first_high, b.first_high, earlier),
        select(a.bits, b.bits, earlier),
    );
}

fn is_fault(x: f32) -> bool {
    return select(breaks(x), NAN_BREAKS, is_nan(x));
}

// Of four values, of which the first `count` are there: how many break the rule, the place of the first, and its bits.
struct Seen {
    count: u32,
    nth: u32,
    bits: u32,
}

fn seen4(x: vec4<f32>, count: u32) -> Seen {
    let at = vec4<u32>(0u, 1u, 2u, 3u);
    let each = vec4<bool>(is_fault(x.x), is_fault(x.y), is_fault(x.z), is_fault(x.w)) & (at < vec4<u32>(count));
    let ones = select(vec4<u32>(0u), vec4<u32>(1u), each);
    let nth = select(select(select(3u, 2u, each.z), 1u, each.y), 0u, each.x);
    let first = select(select(select(x.w, x.z, each.z), x.y, each.y), x.x, each.x);
    return Seen(ones.x + ones.y + ones.z + ones.w, nth, bitcast<u32>(first));
}

// As a fault, for four values from element `place` (two words, low first) + `ahead` on.
fn placed(s: Seen, place: vec2<u32>, ahead: u32) -> Fault {
    if (s.count == 0u) {
        return no_fault();
    }
    let low = place.x + ahead;
    let at = low + s.nth;
    let carries = select(0u, 1u, low < ahead) + select(0u, 1u, at < s.nth);
    return Fault(s.count, at, place.y + carries, s.bits);
}
