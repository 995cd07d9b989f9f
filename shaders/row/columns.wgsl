// The columns of a row in quads, and where the rows of the operands of the input's shape begin.

// The columns of a quad, to mask those beyond the last.
const QUAD: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// Which of four columns is the labelled one.
fn at4(column: u32, label: u32) -> vec4<bool> {
    return QUAD == vec4<u32>(label - column);
}

// What a quad has in every output of the input's shape: its numbers, as they are stored and as the loss sees them.
struct Columns {
    column: u32,
    count: u32,
    raw: vec4<f32>,
    x: vec4<f32>,
}

// The loss sees -inf past the last column.
fn mapped_tail(raw: vec4<f32>, count: u32) -> vec4<f32> {
    return select(vec4<f32>(params.neg_inf), mapped4(raw), QUAD < vec4<u32>(count));
}

// Elements from one column of a row to the next.
fn col_step() -> u32 {
    if (INNERMOST) {
        return 1u;
    }
    return params.col_stride;
}

// The slab of a row and its place there, both counted from where the windows begin.
fn spot_of(index: u32) -> vec2<u32> {
    if (INNERMOST) {
        return vec2<u32>(index - params.first_slab, 0u);
    }
    return vec2<u32>(index / params.inner - params.first_slab, index % params.inner - params.first_inner);
}

fn input_place(spot: vec2<u32>) -> u32 {
    return params.input_base + spot.x * params.input_stride + spot.y;
}

// Where a row of a full target begins.
// default
fn targets_at(slab: u32, inner: u32) -> u32 {
    return params.targets_base + slab * params.targets_stride + inner;
}

// Elements from one number of it to the next.
// default
fn target_step() -> u32 {
    return col_step();
}

// The upstream gradient of a map has a row for each row.
fn grad_output_at(slab: u32, inner: u32) -> u32 {
    return params.grad_output_base + slab * params.grad_output_step + inner;
}

// The logit of one column of a row, as the loss sees it.
// default
fn column1(input_at: u32, column: u32) -> f32 {
    return mapped1(input1(input_at + column * col_step()));
}

// What the loss sees of the input: the input as it is.
// default
fn mapped1(x: f32) -> f32 {
    return x;
}

// The same of four columns.
// default
fn mapped4(x: vec4<f32>) -> vec4<f32> {
    return x;
}

// The derivative of mapped4.
// default
fn map_slope4(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(1.0);
}

// What the gradients of a row are multiplied by: the reduction's factor, the upstream gradient (one for each row, or
// one for all: step 0) and the row's own weight, each 1 where there is none. The gradient of a map has its upstream
// gradient inside.
// default
fn row_scale(row: u32) -> f32 {
    if (IS_MAP) {
        return 1.0;
    }
    let nth = row - params.first_row;
    let upstream = grad_output1(params.grad_output_base + nth * params.grad_output_step);
    return reduction_scale() * upstream * sample_weight1(params.sample_weight_base + nth);
}
