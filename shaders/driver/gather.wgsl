// Joins what a call found of its class targets (OF_LABELS), or of an operand whose values break a rule, into the log of
// many calls: `Log` in src/layout.rs. One invocation; calls come one after the other.
struct Params {
    call: u32,   // its number
    source: u32, // what found it: `Log::source`
    base: u32,   // where its record begins in the binding
    pad0: u32,
}

@group(0) @binding(9) var<storage, read> control: array<u32>; // the record: `Control` or `Fault`
@group(0) @binding(23) var<storage, read_write> faults_out: array<u32>; // the log

struct Found {
    count: u32,
    place: vec2<u32>,
    value: vec2<u32>,
}

fn found(at: u32) -> Found {
    if (OF_LABELS) {
        return Found(control[at + 4u], vec2<u32>(control[at + 5u], 0u), vec2<u32>(control[at + 6u], control[at + 7u]));
    }
    return Found(control[at], vec2<u32>(control[at + 1u], control[at + 2u]), vec2<u32>(control[at + 3u], 0u));
}

@compute @workgroup_size(1)
fn main() {
    params = uniforms;
    let own = found(params.base);
    if (own.count == 0u) {
        return;
    }
    let before = faults_out[1];
    let count = before + own.count;
    faults_out[1] = select(count, 0xffffffffu, count < before);
    if (before == 0u) {
        faults_out[3] = params.call;
        faults_out[4] = params.source;
        faults_out[5] = own.count;
        faults_out[6] = own.place.x;
        faults_out[7] = own.place.y;
        faults_out[8] = own.value.x;
        faults_out[9] = own.value.y;
    }
    // A call may have several records.
    if (faults_out[2] != params.call + 1u) {
        faults_out[2] = params.call + 1u;
        faults_out[0] = faults_out[0] + 1u;
    }
}
