// y = max(x, 0). Where x is not above 0, no gradient goes through.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> grad_y: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    result[id.x] = max(x[id.x], 0.0);
}

@compute @workgroup_size(64)
fn grad_input(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    result[id.x] = select(0.0, grad_y[id.x], x[id.x] > 0.0);
}
