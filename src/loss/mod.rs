//! The losses. [`REGISTRY`] has one line for each; command line, tests and benches iterate it.

mod bce_with_logits;
mod cross_entropy;
mod sigmoid_focal;

use std::fmt::Debug;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::problem::{
    Elements, Family, Mode, Problem, Reduction, Role, Rows, Targets, expect_broadcast, expect_dtype, expect_shape,
};
use crate::readback::{Output, Values};
use crate::tensor::{Dtype, Tensor, View};

pub use bce_with_logits::{BceWithLogits, bce_with_logits};
pub use cross_entropy::{CrossEntropy, cross_entropy};
pub use sigmoid_focal::{SigmoidFocal, sigmoid_focal};

/// Every loss.
pub static REGISTRY: &[&Info] = &[&cross_entropy::INFO, &bce_with_logits::INFO, &sigmoid_focal::INFO];

/// The loss of a name, written with underscores or dashes.
pub fn find(name: &str) -> Option<&'static Info> {
    REGISTRY
        .iter()
        .copied()
        .find(|info| info.name == name.replace('-', "_"))
}

/// What is known of a loss without making one.
#[derive(Debug)]
pub struct Info {
    /// The stem: the name of its files, its golden cases and, with dashes, its word on the command line.
    pub name: &'static str,
    pub summary: &'static str,
    /// PyTorch's page of the loss.
    pub url: &'static str,
    /// Scalar options besides `reduction`.
    pub options: &'static [OptionInfo],
    /// Optional tensors, given to the options struct.
    pub tensors: &'static [TensorInfo],
    /// What the target may be.
    pub targets: &'static [TargetKind],
    /// The loss with PyTorch's defaults.
    pub new: fn() -> Box<dyn Loss>,
}

/// A scalar option.
#[derive(Debug)]
pub struct OptionInfo {
    /// PyTorch's name.
    pub name: &'static str,
    pub kind: ScalarKind,
    pub default: f64,
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarKind {
    Float,
    Int,
}

/// The value of a scalar option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Float(f64),
    Int(i64),
}

/// An optional tensor.
#[derive(Debug)]
pub struct TensorInfo {
    pub role: Role,
    pub help: &'static str,
}

/// What a target can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A class index for each row.
    Index,
    /// A probability for each class of each row; its gradient is available.
    Probability,
    /// A number in [0, 1] for each element of the input.
    Element,
}

/// Where the gradient of the input goes.
#[derive(Clone, Copy, Debug, Default)]
pub enum GradTo<'a> {
    /// Into a new tensor.
    #[default]
    New,
    /// Over the input, whose memory must be writable. On the CPU engine, whose tensors are shared, into a new tensor.
    InPlace,
    /// Into a tensor of the input's shape, with a row stride of its own.
    Into(&'a Tensor),
}

/// The tensors of a call, and what is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub mode: Mode,
    pub input: &'a Tensor,
    pub target: &'a Tensor,
    /// The upstream gradient: 0-d, or of the loss's shape where `reduction` is none. 1 where it is absent.
    pub grad_output: Option<&'a Tensor>,
    pub grad_input: GradTo<'a>,
    /// Also compute the gradient of a probability target.
    pub grad_target: bool,
}

impl<'a> Call<'a> {
    pub fn new(mode: Mode, input: &'a Tensor, target: &'a Tensor) -> Self {
        Self {
            mode,
            input,
            target,
            grad_output: None,
            grad_input: GradTo::New,
            grad_target: false,
        }
    }
}

/// A loss with its options: PyTorch's module.
///
/// `forward`, `backward` and `forward_backward` encode, submit and return at once; [`Output::read`] waits. Host tensors
/// are uploaded for the call.
pub trait Loss: Debug + Send + Sync {
    fn info(&self) -> &'static Info;

    /// Refuses options outside their domain.
    ///
    /// # Errors
    /// [`Error::Option`] with the name, the value and the domain.
    fn check(&self) -> Result<()>;

    fn reduction(&self) -> Reduction;

    fn set_reduction(&mut self, reduction: Reduction);

    /// Sets a scalar option by PyTorch's name.
    ///
    /// # Errors
    /// [`Error::Option`] for a name or a kind of value that the loss does not have.
    fn set(&mut self, name: &str, value: Scalar) -> Result<()>;

    /// The optional tensors given.
    fn tensors(&self) -> Vec<(Role, &Tensor)>;

    /// Gives an optional tensor.
    ///
    /// # Errors
    /// [`Error::Option`] for one that the loss does not have.
    fn attach(&mut self, role: Role, tensor: Tensor) -> Result<()>;

    /// Validates a call: finds every error of shape, dtype and option.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Operand`], with the numbers.
    fn problem(&self, call: &Call<'_>) -> Result<Problem>;

    /// Computes a call: encodes, submits and returns.
    ///
    /// # Errors
    /// Those of [`Loss::problem`], [`Error::Limit`] and [`Error::Device`].
    fn run(&self, engine: &Engine, call: &Call<'_>) -> Result<Output> {
        engine.run(&self.problem(call)?, call, &self.tensors())
    }

    /// Records a call into the caller's encoder; neither submits nor waits. Read the output after submitting.
    ///
    /// # Errors
    /// As [`Loss::run`]; [`Error::Device`] on an engine without a device.
    fn encode(&self, engine: &Engine, encoder: &mut wgpu::CommandEncoder, call: &Call<'_>) -> Result<Output> {
        engine.encode(encoder, &self.problem(call)?, call, &self.tensors())
    }

    /// The loss.
    ///
    /// # Errors
    /// As [`Loss::run`].
    fn forward(&self, engine: &Engine, input: &Tensor, target: &Tensor) -> Result<Output> {
        self.run(engine, &Call::new(Mode::Forward, input, target))
    }

    /// The gradient of the input, times the upstream gradient.
    ///
    /// # Errors
    /// As [`Loss::run`].
    fn backward(
        &self,
        engine: &Engine,
        input: &Tensor,
        target: &Tensor,
        grad_output: Option<&Tensor>,
    ) -> Result<Output> {
        let call = Call {
            grad_output,
            ..Call::new(Mode::Backward, input, target)
        };
        self.run(engine, &call)
    }

    /// Loss and gradient in one call.
    ///
    /// # Errors
    /// As [`Loss::run`].
    fn forward_backward(
        &self,
        engine: &Engine,
        input: &Tensor,
        target: &Tensor,
        grad_output: Option<&Tensor>,
    ) -> Result<Output> {
        let call = Call {
            grad_output,
            ..Call::new(Mode::Fused, input, target)
        };
        self.run(engine, &call)
    }
}

/// Any loss as a function: host arrays in, numbers out. `grad_output` is the upstream gradient, `grad_target` asks for the
/// gradient of a probability target. The functions of the losses are this one without the two.
///
/// # Errors
/// As [`Loss::run`] and [`Output::read`].
pub fn compute<I, T>(
    engine: &Engine,
    loss: &dyn Loss,
    mode: Mode,
    input: I,
    target: T,
    grad_output: Option<Tensor>,
    grad_target: bool,
) -> Result<Values>
where
    I: TryInto<Tensor, Error = Error>,
    T: TryInto<Tensor, Error = Error>,
{
    let (input, target) = (input.try_into()?, target.try_into()?);
    let call = Call {
        grad_output: grad_output.as_ref(),
        grad_target,
        ..Call::new(mode, &input, &target)
    };
    loss.run(engine, &call)?.read(engine)
}

/// The error for an option that a loss does not have.
fn no_option(info: &Info, name: &str) -> Error {
    Error::option(info.name, format!("has no option {name:?} of that kind"))
}

/// Refuses NaN and infinities.
fn finite(name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::option(name, format!("{value} given, expected a finite number")))
}

/// The checks that all losses share, and the parts of a problem that come from the call.
fn problem(loss: &dyn Loss, call: &Call<'_>, family: Family, hyper: [f64; 4]) -> Result<Problem> {
    let input = call.input.view();
    let grad_target_kinds = [TargetKind::Probability];
    let full = !matches!(
        family,
        Family::Rows(Rows {
            targets: Targets::Index { .. },
            ..
        })
    );
    if call.grad_target && !(full && loss.info().targets.iter().any(|kind| grad_target_kinds.contains(kind))) {
        return Err(Error::operand(
            "grad_target",
            "only a probability target has a gradient here",
        ));
    }
    let (grad_input, in_place) = match call.grad_input {
        GradTo::New => (View::contiguous(input.dtype, &input.shape), false),
        GradTo::InPlace if call.input.buffer().is_none() => (View::contiguous(input.dtype, &input.shape), false),
        GradTo::InPlace => (input.clone(), call.mode.wants_grad()),
        GradTo::Into(tensor) => {
            expect_dtype("grad_input", tensor.view(), &[input.dtype])?;
            expect_shape("grad_input", tensor.view(), &input.shape, "as the input")?;
            (tensor.view().clone(), false)
        }
    };
    let problem = Problem {
        name: loss.info().name,
        mode: call.mode,
        reduction: loss.reduction(),
        family,
        input: input.clone(),
        target: call.target.view().clone(),
        grad_output: call.grad_output.map(|tensor| tensor.view().clone()),
        grad_input,
        in_place,
        wants_grad_target: call.grad_target && call.mode.wants_grad(),
        hyper,
    };
    if let Some(view) = &problem.grad_output {
        expect_dtype("grad_output", view, &[Dtype::F32])?;
        let wanted = problem.loss_shape();
        if !view.shape.is_empty() {
            let why = format!("as the loss under reduction {}, or 0-d", problem.reduction.name());
            expect_shape("grad_output", view, &wanted, &why)?;
        }
    }
    if let (Family::Rows(_), Some(view)) = (&problem.family, &problem.grad_output)
        && !view.is_contiguous()
    {
        return Err(Error::operand(
            "grad_output",
            "has gaps between its rows, which this loss does not take",
        ));
    }
    Ok(problem)
}

/// (slabs, cols, inner) of logits (C), (N, C) or (N, C, d1, …).
fn class_dims(input: &View) -> Result<(usize, usize, usize)> {
    let (slabs, cols, inner) = match *input.shape {
        [] => {
            return Err(Error::operand(
                "input",
                "expected shape (C), (N, C) or (N, C, d1, …), got a 0-d tensor",
            ));
        }
        [cols] => (1, cols, 1),
        [slabs, cols, ref inner @ ..] => (slabs, cols, inner.iter().product()),
    };
    if cols == 0 {
        return Err(Error::operand(
            "input",
            format!("shape {:?} has 0 classes, expected at least 1", input.shape),
        ));
    }
    if u32::try_from(cols).is_err() || u32::try_from(inner).is_err() {
        return Err(Error::operand(
            "input",
            format!(
                "shape {:?}: classes and inner dimensions are limited to 2^32 - 1",
                input.shape
            ),
        ));
    }
    Ok((slabs, cols, inner))
}

/// Checks a class target against logits.
fn expect_labels(input: &View, target: &View) -> Result<()> {
    let mut wanted = input.shape.clone();
    wanted.remove(usize::from(wanted.len() > 1));
    expect_shape(
        "target",
        target,
        &wanted,
        &format!("for class indices of an input {:?}", input.shape),
    )?;
    if !target.is_contiguous() {
        return Err(Error::operand(
            "target",
            "class indices with gaps between rows are not taken",
        ));
    }
    Ok(())
}

/// Checks a weight for each class.
fn expect_class_weight(weight: Option<&Tensor>, cols: usize) -> Result<Option<View>> {
    let Some(weight) = weight else {
        return Ok(None);
    };
    expect_dtype("weight", weight.view(), &[Dtype::F32])?;
    expect_shape("weight", weight.view(), &[cols], "(one for each class)")?;
    Ok(Some(weight.view().clone()))
}

/// Checks an operand that broadcasts to the input.
fn expect_factor(name: &'static str, tensor: Option<&Tensor>, input: &View) -> Result<Option<View>> {
    let Some(tensor) = tensor else {
        return Ok(None);
    };
    expect_dtype(name, tensor.view(), &[Dtype::F32])?;
    expect_broadcast(name, tensor.view(), &input.shape)?;
    Ok(Some(tensor.view().clone()))
}

/// Checks input and target of an elementwise loss that does not broadcast them.
fn expect_pair(call: &Call<'_>) -> Result<()> {
    expect_dtype("input", call.input.view(), &[Dtype::F32])?;
    expect_dtype("target", call.target.view(), &[Dtype::F32])?;
    expect_shape("target", call.target.view(), call.input.shape(), "as the input")
}

/// The element family of a call.
fn elements(
    weight: Option<View>,
    third: Option<View>,
    piece: crate::shader::Piece,
    reference: crate::problem::ElementReference,
) -> Family {
    Family::Elements(Elements {
        weight,
        third,
        piece,
        reference,
    })
}
