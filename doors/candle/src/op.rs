//! Losses as operations of candle's.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor};
use wgloss::{Call, Engine, Loss, Mode, Stats, Values};

use crate::convert::{elsewhere, gradient, host, indices, is_float, named, refused, storage, wrapped};

/// The engine that the functions of this crate compute on: the best adapter, or the f64 reference on the processor
/// where there is none (`engine().name()` says which).
pub fn engine() -> &'static Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| Arc::new(Engine::new().unwrap_or_else(|_| Engine::cpu())))
}

/// A loss, or a function, of tensors in the order of PyTorch's signature, on an engine of the caller's. It has
/// gradients by each of them that candle tracks and that the loss has one by.
///
/// # Errors
/// For tensors outside of the processor's memory, dtypes that wgloss has not, and all that
/// [`Loss::run`](wgloss::Loss::run) and [`Output::read`](wgloss::Output::read) refuse: shapes, dtypes, options, class
/// targets out of range, probabilities outside [0, 1]. Each names the argument.
pub fn apply(engine: &Arc<Engine>, loss: Arc<dyn Loss>, tensors: &[&Tensor]) -> Result<Tensor> {
    let info = loss.info();
    if tensors.len() != info.operands.len() {
        let names: Vec<_> = info.operands.iter().map(|own| own.role.name()).collect();
        let why = format!(
            "takes {} ({}), got {} tensors",
            names.len(),
            names.join(", "),
            tensors.len()
        );
        return Err(refused(info.name, why));
    }
    for (own, tensor) in info.operands.iter().zip(tensors) {
        if !matches!(tensor.device(), Device::Cpu) {
            return Err(elsewhere(own.role.name(), tensor.device()));
        }
    }
    let op = Op {
        engine: Arc::clone(engine),
        loss,
    };
    let tensors: Vec<Tensor> = tensors.iter().map(|own| own.contiguous()).collect::<Result<_>>()?;
    match tensors.as_slice() {
        [a] => a.apply_op1(op),
        [a, b] => a.apply_op2(b, op),
        [a, b, c] => a.apply_op3(b, c, op),
        _ => {
            let why = format!(
                "takes {} tensors, an operation of candle has one to three",
                tensors.len()
            );
            Err(refused(info.name, why))
        }
    }
}

/// The loss with statistics of its rows, as numbers, on an engine: log-sum-exp, entropy, arg-max and accuracy of the
/// same pass over the logits. It has no gradient.
///
/// # Errors
/// As [`apply`]; for losses that have none.
pub fn statistics(engine: &Engine, loss: &dyn Loss, tensors: &[&Tensor], stats: Stats) -> Result<Values> {
    let operands = loss
        .info()
        .operands
        .iter()
        .map(|own| own.role.name())
        .chain(std::iter::repeat("tensor"));
    let own = tensors.iter().zip(operands).map(|(own, name)| named(name, own));
    let own: Vec<_> = own.collect::<Result<_>>()?;
    let call = Call {
        stats,
        ..Call::new(Mode::Forward, &own.iter().collect::<Vec<_>>())
    };
    let output = loss.run(engine, &call).map_err(wrapped)?;
    output.read(engine).map_err(wrapped)
}

/// A loss and where it computes.
struct Op {
    engine: Arc<Engine>,
    loss: Arc<dyn Loss>,
}

impl Op {
    fn name(&self) -> &'static str {
        self.loss.info().name
    }

    fn values(&self, call: &Call<'_>) -> Result<Values> {
        let output = self.loss.run(&self.engine, call).map_err(wrapped)?;
        output.read(&self.engine).map_err(wrapped)
    }

    fn forward(&self, parts: &[(&CpuStorage, &Layout)]) -> Result<(CpuStorage, Shape)> {
        let operands = self.loss.info().operands.iter().zip(parts);
        let tensors = operands.map(|(own, (storage, layout))| host(own.role.name(), storage, layout));
        let tensors: Vec<_> = tensors.collect::<Result<_>>()?;
        let call = Call::new(Mode::Forward, &tensors.iter().collect::<Vec<_>>());
        let values = self.values(&call)?;
        match (values.loss, values.argmax) {
            (Some(loss), _) => Ok(storage(loss)),
            (None, Some(index)) => Ok(indices(index)),
            (None, None) => Err(refused(self.name(), "gave no result".into())),
        }
    }

    /// The gradients of the arguments, `None` where none is wanted.
    fn backward<const N: usize>(&self, arguments: [&Tensor; N], upstream: &Tensor) -> Result<[Option<Tensor>; N]> {
        let operands = self.loss.info().operands;
        let wants = |nth: usize| {
            let own = arguments[nth];
            operands[nth].grad && own.track_op() && is_float(own.dtype())
        };
        let own = operands
            .iter()
            .zip(arguments)
            .map(|(own, tensor)| named(own.role.name(), tensor));
        let tensors: Vec<_> = own.collect::<Result<_>>()?;
        let upstream = named("grad_output", upstream)?;
        let call = Call {
            grad_output: Some(&upstream),
            grads: (1..N).filter(|&nth| wants(nth)).map(|nth| operands[nth].role).collect(),
            ..Call::new(Mode::Backward, &tensors.iter().collect::<Vec<_>>())
        };
        let mut values = self.values(&call)?;
        let mut grads = [const { None }; N];
        for (nth, grad) in grads.iter_mut().enumerate().filter(|(nth, _)| wants(*nth)) {
            let array = match nth {
                0 => values.grad_input.take(),
                _ => {
                    let at = values.grads.iter().position(|(role, _)| *role == operands[nth].role);
                    at.map(|at| values.grads.swap_remove(at).1)
                }
            };
            *grad = array.map(gradient).transpose()?;
        }
        Ok(grads)
    }
}

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        self.name()
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(storage, layout)])
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let [a] = self.backward([a], upstream)?;
        Ok(a)
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        self.name()
    }

    fn cpu_fwd(&self, a: &CpuStorage, of_a: &Layout, b: &CpuStorage, of_b: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(a, of_a), (b, of_b)])
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(self.backward([a, b], upstream)?.into())
    }
}

/// The gradients of three arguments.
type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        self.name()
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        of_a: &Layout,
        b: &CpuStorage,
        of_b: &Layout,
        c: &CpuStorage,
        of_c: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(a, of_a), (b, of_b), (c, of_c)])
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Three> {
        Ok(self.backward([a, b, c], upstream)?.into())
    }
}
