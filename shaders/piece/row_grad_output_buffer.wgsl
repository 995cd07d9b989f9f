// The upstream gradient: one for each row, or one for all (step 0).
@group(0) @binding(5) var<storage, read> grad_output: array<f32>; // (rows) or () f32

fn grad_output_of(row: u32) -> f32 {
    return grad_output[params.grad_output_base + (row - params.first_row) * params.grad_output_step];
}
