//! Reductions over all elements of a tensor: deterministic, one tree whatever the limits.

use crate::cpu;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::plan::{ReduceOp, plan_reduce};
use crate::problem::{Role, expect_dtype};
use crate::tensor::{Dtype, Tensor};

/// Reduces all elements of a tensor to one, as a 0-d tensor where the engine computes: f32, or i64 for argmax.
///
/// | op | result | of nothing | NaN in |
/// |---|---|---|---|
/// | sum | Σ x | 0 | NaN |
/// | mean | Σ x / n | NaN | NaN |
/// | max, min | the largest, the smallest | an error | NaN |
/// | argmax | the index of the largest, the first among equals | an error | index of the first NaN |
/// | logsumexp | log Σ exp(x), without overflow | -inf | NaN |
///
/// # Errors
/// [`Error::Operand`] for a dtype other than f32 or for the maximum of nothing; [`Error::Limit`] for 2^32 elements or
/// more; [`Error::Device`].
pub fn reduce(engine: &Engine, op: ReduceOp, input: &Tensor) -> Result<Tensor> {
    check(op, input)?;
    let Some(gpu) = engine.gpu() else {
        let value = cpu::reduce(op, input)?;
        return match op.result_dtype() {
            Dtype::I64 => Tensor::new(&[value as i64], &[]),
            _ => Tensor::new(&[value as f32], &[]),
        };
    };
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let output = encode_reduce(engine, &mut encoder, op, input)?;
    gpu.queue.submit([encoder.finish()]);
    gpu.check()?;
    Ok(output)
}

/// Records [`reduce`] into the caller's encoder; neither submits nor waits.
///
/// # Errors
/// As [`reduce`]; [`Error::Device`] on an engine without a device.
pub fn encode_reduce(
    engine: &Engine,
    encoder: &mut wgpu::CommandEncoder,
    op: ReduceOp,
    input: &Tensor,
) -> Result<Tensor> {
    check(op, input)?;
    let gpu = engine.device()?;
    let plan = plan_reduce(op, input.view(), &gpu.limits, &gpu.tuning)?;
    let mut tensors = gpu.place(&[(Role::Input, input)])?;
    let output = gpu.allocate(op.result_dtype(), &[])?;
    tensors.push((Role::Loss, output.clone()));
    gpu.record(encoder, &plan, &tensors, None)?;
    Ok(output)
}

fn check(op: ReduceOp, input: &Tensor) -> Result<()> {
    expect_dtype("input", input.view(), &[Dtype::F32])?;
    if input.view().is_empty() && matches!(op, ReduceOp::Max | ReduceOp::Min | ReduceOp::Argmax) {
        return Err(Error::operand(
            "input",
            format!(
                "shape {:?} has no elements, of which there is no {}",
                input.shape(),
                op.name()
            ),
        ));
    }
    Ok(())
}
