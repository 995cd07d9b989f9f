// A full target of a head of several places: `inner` rows of the call are side by side in a slab of it, col_stride
// apart from one class to the next, while the logits of each lie alone.
fn head_slab(row: u32) -> u32 {
    return row / params.inner - params.first_slab / params.inner;
}

fn targets_at(slab: u32, inner: u32) -> u32 {
    let row = params.first_slab + slab;
    return params.targets_base + head_slab(row) * params.targets_stride + row % params.inner;
}

fn target_step() -> u32 {
    return params.col_stride;
}

fn grad_targets_at(slab: u32, inner: u32) -> u32 {
    let row = params.first_slab + slab;
    return params.grad_targets_base + head_slab(row) * params.grad_targets_stride + row % params.inner;
}
