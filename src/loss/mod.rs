//! The losses. [`REGISTRY`] has one line for each; command line, tests and benches iterate it.

mod define;
mod family;
mod function;
mod owned;

mod bce;
mod bce_with_logits;
mod cosine_embedding;
mod cross_entropy;
mod gaussian_nll;
mod hinge_embedding;
mod huber;
mod kl_div;
mod l1;
mod linear_cross_entropy;
mod log_sigmoid;
mod log_softmax;
mod margin_ranking;
mod mse;
mod multi_margin;
mod multilabel_margin;
mod multilabel_soft_margin;
mod nll;
mod poisson_nll;
mod reduce;
mod sigmoid;
mod sigmoid_focal;
mod smooth_l1;
mod soft_margin;
mod softmax;
mod softmax_focal;
mod triplet_margin;

use std::fmt::Debug;
use std::hash::Hasher;
use std::pin::Pin;

use crate::call::{Asked, Call, GradTo, Key};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::{Waiting, block_on};
use crate::math;
use crate::options::{Scalar, ScalarKind};
use crate::output::Output;
use crate::problem::Problem;
use crate::tensor::Tensor;
use crate::words::{Mode, Reduction, Role, same_name};

pub use owned::OwnedCall;

/// Declares the registry, and exports the type and the function form of each loss.
macro_rules! registry {
    ($($stem:ident: $type:ident),* $(,)?) => {
        /// Every loss.
        pub static REGISTRY: &[&Info] = &[$(&$stem::INFO),*];

        $(pub use $stem::{$type, $stem};)*
    };
}

registry! {
    l1: L1,
    mse: Mse,
    smooth_l1: SmoothL1,
    huber: Huber,
    gaussian_nll: GaussianNll,
    poisson_nll: PoissonNll,
    bce: Bce,
    bce_with_logits: BceWithLogits,
    sigmoid_focal: SigmoidFocal,
    kl_div: KlDiv,
    nll: Nll,
    cross_entropy: CrossEntropy,
    softmax_focal: SoftmaxFocal,
    hinge_embedding: HingeEmbedding,
    soft_margin: SoftMargin,
    margin_ranking: MarginRanking,
    multi_margin: MultiMargin,
    multilabel_margin: MultilabelMargin,
    multilabel_soft_margin: MultilabelSoftMargin,
    cosine_embedding: CosineEmbedding,
    triplet_margin: TripletMargin,
    softmax: Softmax,
    log_softmax: LogSoftmax,
    sigmoid: Sigmoid,
    log_sigmoid: LogSigmoid,
    reduce: Reduce,
    linear_cross_entropy: LinearCrossEntropy,
}

pub use cross_entropy::OnEmpty;

/// What the files of the losses use.
mod prelude {
    pub(super) use super::define::{choice, define, flag};
    pub(super) use super::family::{class_dim, row_dim};
    pub(super) use super::{Call, REDUCED, UNREDUCED, WITH_BATCHMEAN};
    pub(super) use crate::definition::{
        At, Elementwise, PairOut, PairRow, Row, RowDefinition, RowLoss, RowMap, RowStats, StatsGrad,
    };
    pub(super) use crate::error::{Error, Result, above, at_least, finite};
    pub(super) use crate::problem::{Elements, Pairs, Problem, Rows, Targets};
    pub(super) use crate::scalars::Scalars;
    pub(super) use crate::shader::{Const, piece};
    pub(super) use crate::words::Reduction;
}

/// The reductions of most losses.
const REDUCED: &[Reduction] = &[Reduction::None, Reduction::Mean, Reduction::Sum];
const WITH_BATCHMEAN: &[Reduction] = &[Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];
/// Functions have a value for each element or row, and nothing to reduce.
const UNREDUCED: &[Reduction] = &[Reduction::None];

/// The loss of a name: of its own, or of PyTorch's function or module. Underscores or dashes and capitals make no
/// difference.
///
/// A [`Preset`] is no name of its loss, which by itself would compute something else: see [`find_preset`].
pub fn find(name: &str) -> Option<&'static Info> {
    let is_named = |info: &&Info| info.names().any(|own| same_name(own, name));
    REGISTRY.iter().copied().find(is_named)
}

/// The loss that does what a preset says, and the preset: of `amax` it is `reduce`, with its option `op` set to `max`.
pub fn find_preset(name: &str) -> Option<(&'static Info, &'static Preset)> {
    let of = |info: &&'static Info| {
        let preset = info.presets.iter().find(|own| same_name(own.name, name));
        preset.map(|own| (*info, own))
    };
    REGISTRY.iter().find_map(of)
}

/// What is known of a loss without making one.
#[derive(Debug)]
pub struct Info {
    /// The stem: the name of its files, its golden cases and, with dashes, its word on the command line.
    pub name: &'static str,
    pub summary: &'static str,
    /// PyTorch's page of the loss.
    pub url: &'static str,
    /// What PyTorch calls its function and its module, where that is another name.
    pub aliases: &'static [&'static str],
    /// Names of what it does with some options set.
    pub presets: &'static [Preset],
    /// The tensors of PyTorch's signature, in its order.
    pub operands: &'static [OperandInfo],
    /// Scalar options besides `reduction`.
    pub options: &'static [OptionInfo],
    /// Optional tensors, given to the options struct.
    pub tensors: &'static [TensorInfo],
    /// The reductions it has.
    pub reductions: &'static [Reduction],
    /// Its calls can ask for [`Stats`](crate::Stats).
    pub statistics: bool,
    /// The loss with PyTorch's defaults.
    pub new: fn() -> Box<dyn Loss>,
}

impl Info {
    /// Its name, and PyTorch's.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The tensor at a place of the signature, behind which the optional ones have theirs.
    pub fn role(&self, place: usize) -> Option<Role> {
        let optional = self.tensors.iter().map(|own| own.role);
        self.operands.iter().map(|own| own.role).chain(optional).nth(place)
    }

    /// The places, but for the first, of tensors whose gradients are available. Of the optional ones these come first.
    pub fn graded(&self) -> impl Iterator<Item = (usize, Role)> {
        let signature = self.operands.iter().map(|own| (own.role, own.grad));
        let all = signature.chain(self.tensors.iter().map(|own| (own.role, own.grad)));
        let all = all.enumerate().skip(1).filter(|(_, (_, grad))| *grad);
        all.map(|(place, (role, _))| (place, role))
    }

    /// Takes a kind of operand anywhere.
    pub fn takes(&self, kind: OperandKind) -> bool {
        self.operands.iter().any(|operand| operand.kind == kind)
    }
}

/// A name for a loss with some options set: PyTorch has functions where we have an option.
#[derive(Debug)]
pub struct Preset {
    pub name: &'static str,
    /// The options with their words.
    pub options: &'static [(&'static str, &'static str)],
}

/// A tensor of a loss's signature.
#[derive(Debug)]
pub struct OperandInfo {
    pub role: Role,
    pub kind: OperandKind,
    /// Its gradient is available.
    pub grad: bool,
    pub help: &'static str,
}

/// What an operand holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperandKind {
    /// Any numbers.
    Real,
    /// Numbers that become probabilities.
    Logit,
    LogProbability,
    /// Numbers in [0, 1].
    UnitInterval,
    /// Probabilities in [0, 1], or, with `log_target`, their logarithms.
    MaybeLogProbability,
    /// Expected counts above 0 or, with `log_input`, their logarithms.
    Rate,
    /// Numbers of events, at least 0.
    Count,
    /// Numbers above 0.
    Variance,
    /// 1 or -1.
    Sign,
    /// A class for each row.
    Index,
    /// A class for each row, or a probability for each class of each row.
    IndexOrDistribution,
    /// Classes for each row, ended by -1.
    IndexList,
}

impl OperandKind {
    /// Holds classes, where it holds integers.
    pub fn is_classes(self) -> bool {
        matches!(self, Self::Index | Self::IndexOrDistribution | Self::IndexList)
    }

    /// The name in the catalogue.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Logit => "logit",
            Self::LogProbability => "log-probability",
            Self::UnitInterval => "unit interval",
            Self::MaybeLogProbability => "probability or log-probability",
            Self::Rate => "rate",
            Self::Count => "count",
            Self::Variance => "variance",
            Self::Sign => "sign",
            Self::Index => "class index",
            Self::IndexOrDistribution => "class index or class probabilities",
            Self::IndexList => "list of class indices",
        }
    }
}

/// A scalar option.
#[derive(Debug)]
pub struct OptionInfo {
    /// PyTorch's name.
    pub name: &'static str,
    pub kind: ScalarKind,
    /// Other words of a choice, each with the one of [`ScalarKind::Choice`] that it stands for.
    pub aliases: &'static [(&'static str, &'static str)],
    /// `None`: left open.
    pub default: fn() -> Option<Scalar>,
    pub help: &'static str,
}

/// An optional tensor.
#[derive(Debug)]
pub struct TensorInfo {
    pub role: Role,
    /// Its gradient is available.
    pub grad: bool,
    pub help: &'static str,
}

/// A call that is being submitted, of [`Loss::run_async`].
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Output>> + Send + 'a>>;

/// A loss with its options: PyTorch's module.
///
/// `forward`, `backward` and `forward_backward` encode, submit and return, as [`Loss::run`] does; [`Output::read`]
/// waits. Host tensors are uploaded for the call.
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
    fn set(&mut self, name: &str, value: &Scalar) -> Result<()>;

    /// The optional tensors given.
    fn tensors(&self) -> Vec<(Role, &Tensor)>;

    /// Gives an optional tensor.
    ///
    /// # Errors
    /// [`Error::Option`] for one that the loss does not have.
    fn attach(&mut self, role: Role, tensor: Tensor) -> Result<()>;

    /// Writes the loss and all options that [`Loss::problem`] looks at, but for the tensors, as
    /// [`Hash`](std::hash::Hash) does: what it writes is compared in full, and a call that is like an earlier one in
    /// that and in its tensors is not planned again. Returns whether it has; a loss that returns false is planned at
    /// every call.
    fn identify(&self, state: &mut dyn Hasher) -> bool {
        let _ = state;
        false
    }

    /// Validates a call: finds every error of shape, dtype and option. Nothing is ever printed: operands that
    /// broadcast, of which PyTorch warns, do so silently to [`Problem::terms`], and [`Problem::constant`] tells of a
    /// loss that no number of the input changes. (The command line tells both.)
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Operand`], with the numbers.
    fn problem(&self, call: &Call<'_>) -> Result<Problem>;

    /// Computes a call: encodes, submits and returns. On a GPU, whose driver ends submissions that take seconds, one
    /// that touches more than [`Limits::max_dispatch_bytes`](crate::Limits::max_dispatch_bytes) goes in parts that grow
    /// as the device proves fast, and the call waits for all but the last two; the first of its kind also for what was
    /// submitted before, so as to know what its own parts take. The same call goes in fewer the next times, in the end
    /// in one if it takes less than a sixteenth of a second. [`Loss::run_async`] does not wait, nor does
    /// [`Loss::encode`], whose submission is the caller's.
    ///
    /// # Errors
    /// Those of [`Loss::problem`], [`Error::Limit`] and [`Error::Device`].
    fn run(&self, engine: &Engine, call: &Call<'_>) -> Result<Output> {
        let given = self.tensors();
        let asked = Asked { call, given: &given };
        let (identify, problem) = (|key: &mut Key| self.identify(key), || self.problem(call));
        block_on(engine.run(&asked, Waiting::Blocks, identify, problem))
    }

    /// The same as a future that never blocks its thread. A call of more bytes than one submission may have is
    /// submitted part by part, as the device comes to it.
    ///
    /// # Errors
    /// As [`Loss::run`].
    fn run_async<'a>(&'a self, engine: &'a Engine, call: &'a Call<'a>) -> Running<'a> {
        Box::pin(async move {
            let given = self.tensors();
            let asked = Asked { call, given: &given };
            let (identify, problem) = (|key: &mut Key| self.identify(key), || self.problem(call));
            engine.run(&asked, Waiting::Yields, identify, problem).await
        })
    }

    /// Records a call into the caller's encoder; neither submits nor waits. Read the output after submitting.
    ///
    /// # Errors
    /// As [`Loss::run`]; [`Error::Device`] on an engine without a device.
    fn encode(&self, engine: &Engine, encoder: &mut wgpu::CommandEncoder, call: &Call<'_>) -> Result<Output> {
        let given = self.tensors();
        let asked = Asked { call, given: &given };
        engine.encode(encoder, &asked, |key| self.identify(key), || self.problem(call))
    }

    /// The loss.
    ///
    /// # Errors
    /// As [`Loss::run`].
    fn forward(&self, engine: &Engine, tensors: &[&Tensor]) -> Result<Output> {
        self.run(engine, &Call::new(Mode::Forward, tensors))
    }

    /// The gradient of the first tensor, times the upstream gradient.
    ///
    /// # Errors
    /// As [`Loss::run`].
    fn backward(&self, engine: &Engine, tensors: &[&Tensor], grad_output: Option<&Tensor>) -> Result<Output> {
        let call = Call {
            grad_output,
            ..Call::new(Mode::Backward, tensors)
        };
        self.run(engine, &call)
    }

    /// Loss and gradient in one call.
    ///
    /// # Errors
    /// As [`Loss::run`].
    fn forward_backward(&self, engine: &Engine, tensors: &[&Tensor], grad_output: Option<&Tensor>) -> Result<Output> {
        let call = Call {
            grad_output,
            ..Call::new(Mode::Fused, tensors)
        };
        self.run(engine, &call)
    }
}

/// A loss chosen by name is one, too.
impl Loss for Box<dyn Loss> {
    fn info(&self) -> &'static Info {
        self.as_ref().info()
    }

    fn check(&self) -> Result<()> {
        self.as_ref().check()
    }

    fn reduction(&self) -> Reduction {
        self.as_ref().reduction()
    }

    fn set_reduction(&mut self, reduction: Reduction) {
        self.as_mut().set_reduction(reduction);
    }

    fn set(&mut self, name: &str, value: &Scalar) -> Result<()> {
        self.as_mut().set(name, value)
    }

    fn tensors(&self) -> Vec<(Role, &Tensor)> {
        self.as_ref().tensors()
    }

    fn attach(&mut self, role: Role, tensor: Tensor) -> Result<()> {
        self.as_mut().attach(role, tensor)
    }

    fn identify(&self, state: &mut dyn Hasher) -> bool {
        self.as_ref().identify(state)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        self.as_ref().problem(call)
    }
}

/// The error for an option that a loss does not have.
fn no_option(info: &Info, name: &str) -> Error {
    Error::option(info.name, format!("has no option {name:?} of that kind"))
}
