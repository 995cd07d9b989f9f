//! The function forms of the losses: numbers on the host in, numbers out, without a copy in between.

use super::{Call, Loss};
use crate::argument::{Form, Lent};
use crate::cpu::{self, Held};
use crate::engine::Engine;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::values::Values;
use crate::words::Mode;

/// Computes a loss of what is lent, and reads all results.
pub(super) fn run(loss: &dyn Loss, engine: &Engine, lent: &[Lent<'_>], mode: Mode) -> Result<Values> {
    // Whatever is wrong with it is found before anything goes to a device.
    let outlines = lent.iter().map(Lent::outline).collect::<Result<Vec<_>>>()?;
    let outlines: Vec<&Tensor> = outlines.iter().map(AsRef::as_ref).collect();
    let call = Call::new(mode, &outlines);
    let problem = loss.problem(&call)?;
    if engine.gpu().is_some() {
        let bring = |(own, lent): (&crate::problem::Operand, &Lent<'_>)| engine.bring(lent, Some(own.view.dtype));
        let tensors = problem
            .operands
            .iter()
            .zip(lent)
            .map(bring)
            .collect::<Result<Vec<_>>>()?;
        let call = Call::new(mode, &tensors.iter().collect::<Vec<_>>());
        return loss.run(engine, &call)?.read(engine);
    }
    let held = lent.iter().map(|lent| match &lent.0 {
        Form::Tensor(tensor) => Held::Tensor(tensor.as_ref()),
        Form::Numbers { dtype, bytes, .. } => Held::Bytes(*dtype, bytes.as_ref()),
    });
    let mut operands: Vec<_> = problem.operands.iter().map(|own| own.role).zip(held).collect();
    let given = loss.tensors();
    operands.extend(given.iter().map(|&(role, tensor)| (role, Held::Tensor(tensor))));
    cpu::answer(&problem, &call, &operands)?.read(engine)
}
