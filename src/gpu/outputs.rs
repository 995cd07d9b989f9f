//! The tensors of a call on a device: its operands, and outputs made for it.

use super::{Gpu, expect_usage, operands};
use crate::error::{Error, Result};
use crate::layout::FAULT_WORDS;
use crate::loss::{Call, GradTo};
use crate::plan::CONTROL_WORDS;
use crate::problem::{Problem, Role};
use crate::readback::Output;
use crate::tensor::{Dtype, Tensor};

impl Gpu {
    /// All tensors that the plan of a call names: operands brought to the device, and outputs made for it.
    pub fn prepare(
        &self,
        problem: &Problem,
        call: &Call<'_>,
        given: &[(Role, &Tensor)],
    ) -> Result<(Vec<(Role, Tensor)>, Output)> {
        let mut tensors = self.place(&operands(problem, call, given))?;
        let output = self.outputs(problem, call, &mut tensors, &[])?;
        Ok((tensors, output))
    }

    /// Makes the outputs of a problem, and adds them to the tensors that its plan names; not those that go `elsewhere`.
    pub fn outputs(
        &self,
        problem: &Problem,
        call: &Call<'_>,
        tensors: &mut Vec<(Role, Tensor)>,
        elsewhere: &[Role],
    ) -> Result<Output> {
        let mut output = Output::empty(problem);
        let mut make = |role, dtype, shape: &[usize]| -> Result<Option<Tensor>> {
            if elsewhere.contains(&role) {
                return Ok(None);
            }
            let tensor = self.allocate(dtype, shape)?;
            tensors.push((role, tensor.clone()));
            Ok(Some(tensor))
        };
        let (stats, mode) = (problem.stats, problem.mode);
        if mode.wants_loss() {
            let made = make(Role::Loss, problem.loss_dtype(), problem.loss_shape())?;
            // The index of an arg-max is no loss.
            if problem.loss_dtype() == Dtype::I64 {
                output.argmax = made;
            } else {
                output.loss = made;
            }
        }
        if stats.z_loss {
            output.z_loss = make(Role::ZLoss, Dtype::F32, problem.loss_shape())?;
        }
        if stats.lse {
            output.lse = make(Role::Lse, Dtype::F32, &problem.terms)?;
        }
        if stats.entropy {
            output.entropy = make(Role::Entropy, Dtype::F32, &problem.terms)?;
        }
        if stats.argmax {
            output.argmax = make(Role::Argmax, Dtype::U32, &problem.terms)?;
        }
        if stats.accuracy {
            output.correct = make(Role::Correct, Dtype::U32, &[])?;
        }
        if problem.has_control() {
            output.control = make(Role::Control, Dtype::U32, &[CONTROL_WORDS as usize])?;
        }
        for (nth, check) in problem.checks.iter().enumerate() {
            let made = make(Role::Fault(nth as u8), Dtype::U32, &[FAULT_WORDS])?;
            output.faults.extend(made.map(|tensor| (check.clone(), tensor)));
        }
        for (place, (operand, tensor)) in problem.operands.iter().zip(&call.tensors).enumerate() {
            if operand.grad.is_none() || elsewhere.contains(&Role::Grad(place as u8)) {
                continue;
            }
            let fresh = || self.allocate(operand.view.dtype, tensor.shape());
            if place > 0 {
                output.grads.push((operand.role, fresh()?));
                continue;
            }
            output.grad_input = Some(match call.grad_input {
                GradTo::New => fresh()?,
                GradTo::Into(own) | GradTo::AddTo(own) if own.memory().is_none() => {
                    return Err(Error::operand(
                        "grad_input",
                        "lies on the host, the engine writes on its device",
                    ));
                }
                GradTo::Into(own) | GradTo::AddTo(own) => {
                    Self::expect_alone(own, tensors)?;
                    own.clone()
                }
                GradTo::InPlace if problem.in_place => {
                    expect_alone_in_place(tensor, tensors)?;
                    (*tensor).clone()
                }
                // The input was uploaded for this call: its copy is ours to write.
                GradTo::InPlace => fresh()?,
            });
        }
        for (operand, role, _) in problem.grads() {
            let own = match role {
                Role::Grad(0) => output.grad_input.as_ref(),
                _ => output.grad(operand.role),
            };
            tensors.extend(own.map(|tensor| (role, tensor.clone())));
        }
        Ok(output)
    }

    /// Refuses a place for the gradient that another tensor of the call shares.
    fn expect_alone(grad: &Tensor, tensors: &[(Role, Tensor)]) -> Result<()> {
        for buffer in grad.buffers() {
            expect_usage("grad_input", buffer, wgpu::BufferUsages::STORAGE)?;
        }
        match tensors.iter().find(|(_, tensor)| tensor.shares_buffer(grad)) {
            Some((role, _)) => Err(Error::operand(
                "grad_input",
                format!(
                    "lies in the same buffer as {}; wgpu forbids a dispatch to read and write one buffer \
                     (give it a buffer of its own, or write over the input in place)",
                    role.name()
                ),
            )),
            None => Ok(()),
        }
    }
}

/// Refuses a tensor in the buffer that the gradient is to be written over.
fn expect_alone_in_place(input: &Tensor, tensors: &[(Role, Tensor)]) -> Result<()> {
    let shares = |(_, tensor): &&(Role, Tensor)| tensor.shares_buffer(input);
    match tensors.iter().filter(shares).nth(1) {
        Some((role, _)) => Err(Error::operand(
            role.name(),
            "lies in the buffer of the input, which the gradient is to be written over; wgpu forbids a dispatch to read \
             and write one buffer",
        )),
        None => Ok(()),
    }
}
