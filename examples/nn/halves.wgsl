// Logits as f16, two to a word, and their gradients back as f32: where a network in f32 meets a loss in f16. Before it:
// scale, what the gradients are too large by.
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> halves: array<u32>;
@group(0) @binding(2) var<storage, read> grad_halves: array<u32>;
@group(0) @binding(4) var<storage, read_write> grad_logits: array<f32>;

// At first a class is found at an anchor with a probability of 1 %, as Lin et al. begin: -log((1 - 0.01) / 0.01).
const prior = -4.595;

@compute @workgroup_size(64)
fn to_halves(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&halves) { return; }
    halves[id.x] = pack2x16float(vec2f(logits[2u * id.x], logits[2u * id.x + 1u]) + prior);
}

@compute @workgroup_size(64)
fn from_halves(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&grad_logits) { return; }
    let pair = unpack2x16float(grad_halves[id.x / 2u]);
    grad_logits[id.x] = pair[id.x % 2u] / f32(scale);
}
