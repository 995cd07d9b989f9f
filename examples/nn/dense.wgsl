// y = x wᵀ + b in row-major order, w of (outputs, inputs), as PyTorch's Linear has it. Before it: inputs, outputs.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> grad_y: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let row = id.x / outputs;
    let out = id.x % outputs;
    var y = b[out];
    for (var i = 0u; i < inputs; i++) { y += x[row * inputs + i] * w[out * inputs + i]; }
    result[id.x] = y;
}

// A thread sums over the whole batch, in one order: the bits are those of every run.
@compute @workgroup_size(64)
fn grad_weights(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let out = id.x / inputs;
    let i = id.x % inputs;
    let rows = arrayLength(&grad_y) / outputs;
    var sum = 0.0;
    for (var row = 0u; row < rows; row++) { sum += grad_y[row * outputs + out] * x[row * inputs + i]; }
    result[id.x] = sum;
}

@compute @workgroup_size(64)
fn grad_biases(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    var sum = 0.0;
    for (var at = id.x; at < arrayLength(&grad_y); at += outputs) { sum += grad_y[at]; }
    result[id.x] = sum;
}

@compute @workgroup_size(64)
fn grad_input(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let row = id.x / inputs;
    let i = id.x % inputs;
    var sum = 0.0;
    for (var out = 0u; out < outputs; out++) { sum += grad_y[row * outputs + out] * w[out * inputs + i]; }
    result[id.x] = sum;
}
