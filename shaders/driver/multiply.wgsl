// Multiply-adds between registers alone: the ceiling that products are measured against. Each lane has as many sums as
// in driver/product.wgsl, and none of them waits for another.
struct Params {
    turns: u32,
    factor: f32,
    term: f32,
    pad0: u32,
}

var<private> sums: array<vec4<f32>, SUMS>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let factor = vec4<f32>(params.factor);
    let term = vec4<f32>(params.term);
    for (var s = 0u; s < SUMS; s++) { // unrolled
        sums[s] = vec4<f32>(f32(lane + s), f32(group.x), f32(s), 1.0);
    }
    for (var turn = 0u; turn < params.turns; turn++) {
        for (var again = 0u; again < QUAD; again++) { // unrolled
            for (var s = 0u; s < SUMS; s++) { // unrolled
                sums[s] = fma(sums[s], factor, term);
            }
        }
    }
    var sum = vec4<f32>();
    for (var s = 0u; s < SUMS; s++) { // unrolled
        sum += sums[s];
    }
    put_result_out1(group.x * WIDTH + lane, sum.x + sum.y + sum.z + sum.w);
}
