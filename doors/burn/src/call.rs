//! A call: what a loss is computed of, and what is wanted.

use std::sync::Arc;

use burn::backend::{Backend, Dispatch};
use wgloss::{Checks, Error, Info, Mode, Result, Role, Stats};

use crate::check::inner_device;
use crate::faults;
use crate::losses::Options;
use crate::op;
use crate::operand::Operand;
use crate::outputs::Outputs;
use crate::spec::{Make, Trace};
use crate::value::{Operands, PLACES, Value};

/// A call of a loss, its tensors by PyTorch's names: for what the functions have no place for. It computes the loss,
/// through which burn's autodiff finds the gradients of every tensor that the loss has gradients by.
///
/// ```no_run
/// use burn::tensor::{Int, Tensor};
/// use wgloss_burn::{CrossEntropy, LossCall, Stats};
///
/// # fn main() -> wgloss::Result<()> {
/// # let device = wgloss_burn::device()?;
/// let logits = Tensor::<2>::ones([4, 10], &device);
/// let labels = Tensor::<1, Int>::zeros([4], &device);
/// let stats = Stats { accuracy: true, lse: true, ..Default::default() };
/// let outputs = LossCall::of(&CrossEntropy::default()).input(logits).target(labels).stats(stats).run()?;
/// let (loss, correct, lse) = (outputs.loss::<1>()?, outputs.correct()?, outputs.lse::<1>()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "run computes it"]
pub struct LossCall {
    pub(crate) info: &'static Info,
    pub(crate) make: Make,
    pub(crate) given: Vec<(Role, Operand)>,
    pub(crate) mode: Mode,
    pub(crate) grad_output: Option<Operand>,
    pub(crate) grads: Vec<Role>,
    pub(crate) stats: Stats,
    pub(crate) checks: Checks,
    pub(crate) is_checked: bool,
    pub(crate) rank: Option<usize>,
    pub(crate) trace: Option<Trace>,
}

macro_rules! named {
    ($($name:ident $role:ident),*) => {
        $(
            #[doc = concat!("Gives `", stringify!($name), "`.")]
            pub fn $name(self, tensor: impl Into<Operand>) -> Self {
                self.tensor(Role::$role, tensor)
            }
        )*
    };
}

impl LossCall {
    /// A call of a loss with its options, and with the tensors among these.
    pub fn of(options: &(impl Options + ?Sized)) -> Self {
        Self {
            info: options.info(),
            make: options.make(),
            given: options.tensors(),
            mode: Mode::Forward,
            grad_output: None,
            grads: Vec::new(),
            stats: Stats::default(),
            checks: Checks::default(),
            is_checked: false,
            rank: None,
            trace: None,
        }
    }

    /// Gives a tensor of the signature, or an optional one of the loss, in place of one given before.
    pub fn tensor(mut self, role: Role, tensor: impl Into<Operand>) -> Self {
        self.given.retain(|(own, _)| *own != role);
        self.given.push((role, tensor.into()));
        self
    }

    named! {
        input Input, input1 Input1, input2 Input2, anchor Anchor, positive Positive, negative Negative, target Target,
        var Var, weight Weight, pos_weight PosWeight, alpha Alpha, sample_weight SampleWeight,
        linear_weight LinearWeight, linear_bias LinearBias
    }

    /// Statistics of the rows.
    pub fn stats(mut self, stats: Stats) -> Self {
        self.stats = stats;
        self
    }

    /// What of the values is inspected: [`crate::faults`] and checked calls tell.
    pub fn checks(mut self, checks: Checks) -> Self {
        self.checks = checks;
        self
    }

    /// Loss and gradients in one pass, which [`Outputs::grad`] gives: for who does without autodiff. Nothing is
    /// tracked through the results.
    pub fn fused(mut self) -> Self {
        self.mode = Mode::Fused;
        self
    }

    /// Gradients alone, as [`LossCall::fused`].
    pub fn backward(mut self) -> Self {
        self.mode = Mode::Backward;
        self
    }

    /// The gradient of another tensor than the first, too: the call becomes [`LossCall::fused`], unless it is
    /// [`LossCall::backward`].
    pub fn grad_of(mut self, role: Role) -> Self {
        if !self.grads.contains(&role) {
            self.grads.push(role);
        }
        self.wants_grads()
    }

    /// The upstream gradient, of the loss's shape; ones where it is absent. The call becomes [`LossCall::fused`],
    /// unless it is [`LossCall::backward`].
    pub fn grad_output(mut self, tensor: impl Into<Operand>) -> Self {
        self.grad_output = Some(tensor.into());
        self.wants_grads()
    }

    fn wants_grads(mut self) -> Self {
        if self.mode == Mode::Forward {
            self.mode = Mode::Fused;
        }
        self
    }

    /// Waits for the results, and returns an error for labels and values out of range.
    pub fn checked(mut self) -> Self {
        self.is_checked = true;
        self
    }

    /// Notes where the tensors of the call and of its backward call lie.
    #[doc(hidden)]
    pub fn trace(mut self, trace: &Trace) -> Self {
        self.trace = Some(Arc::clone(trace));
        self
    }

    /// The rank that the loss is asked for, for who asks before it is computed.
    pub(crate) fn rank(mut self, rank: usize) -> Self {
        self.rank = Some(rank);
        self
    }

    /// Computes it: queues it on burn's device, and returns.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Operand`] for options, shapes, dtypes and devices, before anything is queued. A
    /// checked call: [`Error::BadLabels`], [`Error::BadValues`], and what failed on the device.
    pub fn run(self) -> Result<Outputs> {
        let (spec, given) = self.validate()?;
        let spec = Arc::new(spec);
        let device = given.first().and_then(|own| own.tensor.tensor()).map(inner_device);
        let mut places = [const { Value::Absent }; PLACES];
        for (place, own) in places.iter_mut().zip(given) {
            *place = own.tensor.0;
        }
        let grad_output = self.grad_output.map_or(Value::Absent, |own| own.0);
        let results = op::dispatch(Operands::new(places, grad_output), Arc::clone(&spec));
        if let (true, Some(device)) = (self.is_checked, device) {
            Dispatch::sync(&device).map_err(|error| Error::Device(error.to_string()))?;
            if let Some(found) = faults::found(&spec.watch, &spec.room.engine)? {
                return Err(found.first);
            }
        }
        Ok(Outputs { results, spec })
    }
}
