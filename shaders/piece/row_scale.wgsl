// What the gradients of a row are multiplied by: the reduction's factor, the upstream gradient (one for each row, or one
// for all: step 0) and the row's own weight, each 1 where there is none.
fn row_scale(row: u32) -> f32 {
    let nth = row - params.first_row;
    let upstream = grad_output1(params.grad_output_base + nth * params.grad_output_step);
    return reduction_scale() * upstream * sample_weight1(params.sample_weight_base + nth);
}
