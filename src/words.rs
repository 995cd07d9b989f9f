//! The words that all floors share: what a run computes, of which tensors, and what is inspected on the way.

use crate::dtype::Dtype;

/// How the losses of rows or elements become the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Each loss by itself.
    None,
    /// The sum over the denominator that the loss defines.
    #[default]
    Mean,
    Sum,
    /// The sum over the size of the first dimension.
    BatchMean,
}

impl Reduction {
    pub const ALL: [Self; 4] = [Self::None, Self::Mean, Self::Sum, Self::BatchMean];

    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::BatchMean => "batchmean",
        }
    }
}

/// What a run computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Forward,
    Backward,
    /// Loss and gradient in one call.
    Fused,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Forward, Self::Backward, Self::Fused];

    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Fused => "fused",
        }
    }

    pub fn wants_loss(self) -> bool {
        self != Self::Backward
    }

    pub fn wants_grad(self) -> bool {
        self != Self::Forward
    }
}

/// Names the tensors of a problem, as operands and as outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Input,
    Input1,
    Input2,
    Anchor,
    Positive,
    Negative,
    Target,
    Var,
    Weight,
    PosWeight,
    Alpha,
    SampleWeight,
    /// The matrix that makes logits of an input, and what is added to them.
    LinearWeight,
    LinearBias,
    GradOutput,
    /// The upstream gradients of rows' log-sum-exp and of their entropy.
    GradLse,
    GradEntropy,
    Loss,
    ZLoss,
    Lse,
    Argmax,
    Entropy,
    Correct,
    /// The gradient of an operand, by its place in the signature.
    Grad(u8),
    Control,
    /// What an inspection found, by its place in `Problem::checks`.
    Fault(u8),
    /// What many calls found, of [`Faults`](crate::Faults).
    Log,
    /// What an optimizer updates. Its gradient is `Grad(0)`.
    Param,
    /// The state of optimizers, under PyTorch's names.
    MomentumBuffer,
    ExpAvg,
    ExpAvgSq,
    MaxExpAvgSq,
    Sum,
    /// The norms of gradients, what steps go through, and the count of those taken.
    Norm,
    Gate,
    Count,
}

impl Role {
    /// The name of the gradient by an operand other than the first.
    pub(crate) fn grad_name(self) -> &'static str {
        match self {
            Self::Input2 => "grad_input2",
            Self::Positive => "grad_positive",
            Self::Negative => "grad_negative",
            Self::Target => "grad_target",
            Self::Var => "grad_var",
            Self::LinearWeight => "grad_linear_weight",
            Self::LinearBias => "grad_linear_bias",
            own => own.name(),
        }
    }

    /// PyTorch's name of the argument.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Input1 => "input1",
            Self::Input2 => "input2",
            Self::Anchor => "anchor",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Target => "target",
            Self::Var => "var",
            Self::Weight => "weight",
            Self::PosWeight => "pos_weight",
            Self::Alpha => "alpha",
            Self::SampleWeight => "sample_weight",
            Self::LinearWeight => "linear_weight",
            Self::LinearBias => "linear_bias",
            Self::GradOutput => "grad_output",
            Self::GradLse => "grad_lse",
            Self::GradEntropy => "grad_entropy",
            Self::Loss => "loss",
            Self::ZLoss => "z_loss",
            Self::Lse => "lse",
            Self::Argmax => "argmax",
            Self::Entropy => "entropy",
            Self::Correct => "correct",
            Self::Grad(_) => "grad",
            Self::Control => "control",
            Self::Fault(_) => "fault",
            Self::Log => "log",
            Self::Param => "param",
            Self::MomentumBuffer => "momentum_buffer",
            Self::ExpAvg => "exp_avg",
            Self::ExpAvgSq => "exp_avg_sq",
            Self::MaxExpAvgSq => "max_exp_avg_sq",
            Self::Sum => "sum",
            Self::Norm => "norm",
            Self::Gate => "gate",
            Self::Count => "count",
        }
    }
}

/// Statistics of the rows that the pass over the logits can leave behind, beside the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stats {
    /// log Σ exp of each row, in nats.
    pub lse: bool,
    /// The class of the largest logit of each row, the first among equals.
    pub argmax: bool,
    /// The entropy of each row's softmax, in nats.
    pub entropy: bool,
    /// How many of the rows kept have their class as arg-max.
    pub accuracy: bool,
    /// The z-loss by itself.
    pub z_loss: bool,
}

impl Stats {
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// A reduction over all elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    Sum,
    Mean,
    Max,
    Min,
    Argmax,
    LogSumExp,
}

impl ReduceOp {
    pub const ALL: [Self; 6] = [
        Self::Sum,
        Self::Mean,
        Self::Max,
        Self::Min,
        Self::Argmax,
        Self::LogSumExp,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
            Self::Argmax => "argmax",
            Self::LogSumExp => "logsumexp",
        }
    }

    pub fn result_dtype(self) -> Dtype {
        match self {
            Self::Argmax => Dtype::I64,
            _ => Dtype::F32,
        }
    }
}

/// What of a call's values is inspected beyond what PyTorch refuses, too: probabilities of `bce` outside [0, 1] and
/// negative variances of `gaussian_nll` are always reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checks {
    /// Reports targets outside [0, 1] where a loss expects probabilities, targets other than 1 and -1 where it expects
    /// signs, and negative weights; NaN in any of them. PyTorch computes with them (but for the target of `bce`), and
    /// so does the result.
    pub strict: bool,
    pub nan: OnNan,
}

/// What becomes of NaN and infinities in the tensors of the signature and the optional ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnNan {
    /// They are numbers like others: NaN in gives NaN out.
    #[default]
    Propagate,
    /// They are reported.
    Error,
}

/// What the numbers of an operand have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    Finite,
    /// In [0, 1].
    UnitInterval,
    /// At least 0.
    NonNegative,
    /// 1 or -1.
    Sign,
}

impl Rule {
    /// The name of its piece, and in pipeline labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finite => "finite",
            Self::UnitInterval => "unit",
            Self::NonNegative => "non_negative",
            Self::Sign => "sign",
        }
    }

    /// What a message expects.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Finite => "a finite number",
            Self::UnitInterval => "a number in [0, 1]",
            Self::NonNegative => "a number of at least 0",
            Self::Sign => "1 or -1",
        }
    }
}

/// Names that differ in capitals and in what parts their words are one.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    let letters = |name: &str| -> Vec<char> {
        let own = name.chars().filter(|c| !matches!(c, '_' | '-'));
        own.map(|c| c.to_ascii_lowercase()).collect()
    };
    letters(a) == letters(b)
}
