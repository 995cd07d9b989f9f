//! A call as the judge asks of it: a problem and its operands, which may be changed, since that needs no loss any more.

use std::borrow::Cow;

use crate::call::{Call, operands};
use crate::cpu::{self, Held, Kept};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Control;
use crate::loss::Loss;
use crate::problem::{Divisor, Problem};
use crate::tensor::Tensor;
use crate::words::{Mode, Reduction, Role, Stats};

#[derive(Clone, Debug)]
pub(super) struct Subject<'a> {
    pub problem: Problem,
    pub operands: Vec<(Role, Cow<'a, Tensor>)>,
    /// So many operands are those of the signature.
    pub signature: usize,
}

/// The numbers of each result in f64; of places and counts, too.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub results: Vec<(Role, Vec<f64>)>,
    pub control: Control,
}

impl Truth {
    pub fn of(&self, role: Role) -> &[f64] {
        let own = self.results.iter().find(|(own, _)| *own == role);
        own.map_or(&[], |(_, numbers)| numbers)
    }

    pub fn take(self, role: Role) -> Vec<f64> {
        let own = self.results.into_iter().find(|(own, _)| *own == role);
        own.map(|(_, numbers)| numbers).unwrap_or_default()
    }
}

impl<'a> Subject<'a> {
    /// # Errors
    /// Those of [`Loss::problem`]; [`Error::Operand`] for a tensor that is not on the host.
    pub fn new(loss: &'a dyn Loss, call: &Call<'a>) -> Result<Self> {
        let problem = loss.problem(call)?;
        let operands = operands(&problem, call, &loss.tensors());
        for (role, tensor) in &operands {
            if tensor.host_bytes().is_none() {
                let what = "the reference reads the host's: compare a call on the same numbers there";
                let message = format!("is {}, {what} (Tensor::read brings them)", tensor.whereabouts());
                return Err(Error::operand(role.name(), message));
            }
        }
        if problem.accumulates {
            let message = "is added to what is there: compare the gradient by itself (GradTo::New)";
            return Err(Error::operand("grad_input", message));
        }
        Ok(Self {
            problem,
            operands: operands
                .into_iter()
                .map(|(role, tensor)| (role, Cow::Borrowed(tensor)))
                .collect(),
            signature: call.tensors.len(),
        })
    }

    pub fn truth(&self) -> Result<Truth> {
        let operands: Vec<_> = self
            .operands
            .iter()
            .map(|(role, own)| (*role, Held::Tensor(own.as_ref())))
            .collect();
        let made = cpu::run(&self.problem, &operands, None, &|_| Kept::Exact)?;
        let whole = |numbers: &[u32]| numbers.iter().map(|&own| f64::from(own)).collect::<Vec<_>>();
        let mut results = vec![
            (Role::Loss, made.loss.into_exact()),
            (Role::ZLoss, made.z_loss.into_exact()),
            (Role::Lse, made.lse.into_exact()),
            (Role::Entropy, made.entropy.into_exact()),
            (Role::Argmax, whole(&made.argmax)),
            (Role::Correct, whole(&[made.correct])),
        ];
        results.extend(made.grads.into_iter().map(|(role, grad)| (role, grad.into_exact())));
        Ok(Truth {
            results,
            control: made.control,
        })
    }

    /// The same call with the loss of each term by itself, and nothing else.
    pub fn unreduced(&self) -> Self {
        let mut own = self.clone();
        own.problem.reduction = Reduction::None;
        own.problem.divisor = Divisor::Known(1.0);
        own.forget_gradients();
        own
    }

    fn forget_gradients(&mut self) {
        self.problem.mode = Mode::Forward;
        self.problem.grad_stats.clear();
        self.problem.stats = Stats {
            z_loss: self.problem.stats.z_loss,
            ..Stats::default()
        };
        self.problem.operands.iter_mut().for_each(|own| own.grad = None);
    }

    pub fn tensor(&self, role: Role) -> Option<&Tensor> {
        self.operands
            .iter()
            .find(|(own, _)| *own == role)
            .map(|(_, own)| own.as_ref())
    }

    /// Puts another tensor in the place of an operand.
    pub fn put(&mut self, role: Role, tensor: Tensor) {
        let own = self.operands.iter_mut().find(|(own, _)| *own == role);
        own.into_iter().for_each(|(_, own)| *own = Cow::Owned(tensor.clone()));
    }

    /// The numbers of the operands of the signature changed, by their place there, and their place in the operand; in
    /// f32, which holds all floats. Class targets and other integers stay.
    pub fn changed(&self, mut change: impl FnMut(usize, usize, f32) -> f32) -> Result<Self> {
        let mut own = self.clone();
        for (place, (_, tensor)) in own.operands.iter_mut().take(self.signature).enumerate() {
            if tensor.dtype().is_float() {
                *tensor = Cow::Owned(map(tensor, |index, x| change(place, index, x))?);
            }
        }
        Ok(own)
    }
}

/// A tensor in f32 with other numbers.
pub(super) fn map(tensor: &Tensor, mut change: impl FnMut(usize, f32) -> f32) -> Result<Tensor> {
    let wide = tensor.to_dtype(Dtype::F32)?;
    let data = wide.as_slice::<f32>().unwrap_or_default().iter().enumerate();
    let data: Vec<f32> = data.map(|(index, &x)| change(index, x)).collect();
    Tensor::new(&data, tensor.shape())
}
