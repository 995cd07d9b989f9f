//! Every loss: its options, and its function.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use wgloss::{Info, Loss, OnEmpty, ReduceOp, Reduction, Result, Role};

use crate::call::LossCall;
use crate::operand::Operand;
use crate::spec::Make;

/// The options of a loss: wgloss's struct where no tensor is among them, else the struct of the same name here, whose
/// tensors are burn's.
pub trait Options {
    /// What is known of the loss.
    fn info(&self) -> &'static Info;

    #[doc(hidden)]
    fn make(&self) -> Make;

    /// The optional tensors given.
    fn tensors(&self) -> Vec<(Role, Operand)>;
}

/// Options whose tensors are burn's: those of the library, but for the types of the tensors.
macro_rules! options {
    ($($type:ident { $($option:ident: $option_type:ty),* } [$($tensor:ident $role:ident),+];)*) => {
        $(
            #[doc = concat!("The options of [`wgloss::", stringify!($type), "`], which has their meaning.")]
            ///
            /// Their tensors are burn's: `weight: Some(tensor.into())`.
            #[derive(Clone, Debug)]
            pub struct $type {
                $(
                    #[doc = concat!("See [`wgloss::", stringify!($type), "::", stringify!($option), "`].")]
                    pub $option: $option_type,
                )*
                $(
                    #[doc = concat!("See [`wgloss::", stringify!($type), "::", stringify!($tensor), "`].")]
                    pub $tensor: Option<Operand>,
                )+
                pub reduction: Reduction,
            }

            impl Default for $type {
                fn default() -> Self {
                    // All of the library's, so that none is forgotten.
                    let wgloss::$type { $($option,)* reduction, $($tensor: _),+ } = wgloss::$type::default();
                    Self { $($option,)* $($tensor: None,)+ reduction }
                }
            }

            impl Options for $type {
                fn info(&self) -> &'static Info {
                    wgloss::$type::default().info()
                }

                fn make(&self) -> Make {
                    let own = wgloss::$type {
                        $($option: self.$option.clone(),)*
                        $($tensor: None,)+
                        reduction: self.reduction,
                    };
                    Arc::new(move || Box::new(own.clone()))
                }

                fn tensors(&self) -> Vec<(Role, Operand)> {
                    let given = [$((Role::$role, self.$tensor.as_ref())),+];
                    given.into_iter().filter_map(|(role, own)| Some((role, own?.clone()))).collect()
                }
            }
        )*
    };
}

options! {
    Bce {} [weight Weight];
    BceWithLogits {} [weight Weight, pos_weight PosWeight];
    Nll { ignore_index: i64 } [weight Weight];
    CrossEntropy {
        ignore_index: i64, label_smoothing: f64, z_loss: f64, softcap: f64, on_empty: OnEmpty, denominator: Option<f64>
    } [weight Weight, sample_weight SampleWeight];
    LinearCrossEntropy {
        ignore_index: i64, label_smoothing: f64, z_loss: f64, softcap: f64, on_empty: OnEmpty, denominator: Option<f64>,
        filter_eps: f64
    } [linear_bias LinearBias, weight Weight, sample_weight SampleWeight];
    SoftmaxFocal { gamma: f64, ignore_index: i64 } [alpha Alpha];
    MultiMargin { p: i64, margin: f64 } [weight Weight];
    MultilabelSoftMargin {} [weight Weight];
}

/// Options without tensors are the library's.
macro_rules! plain {
    ($($type:ident),*) => {
        $(
            impl Options for wgloss::$type {
                fn info(&self) -> &'static Info {
                    Loss::info(self)
                }

                fn make(&self) -> Make {
                    let own = self.clone();
                    Arc::new(move || Box::new(own.clone()))
                }

                fn tensors(&self) -> Vec<(Role, Operand)> {
                    Vec::new()
                }
            }
        )*

        pub use wgloss::{$($type),*};
    };
}

plain!(
    L1,
    Mse,
    SmoothL1,
    Huber,
    GaussianNll,
    PoissonNll,
    SigmoidFocal,
    KlDiv,
    HingeEmbedding,
    SoftMargin,
    MarginRanking,
    MultilabelMargin,
    CosineEmbedding,
    TripletMargin,
    Softmax,
    LogSoftmax,
    Sigmoid,
    LogSigmoid,
    Reduce
);

/// The functions, and the same that wait.
macro_rules! functions {
    ($($stem:ident $type:ident($($operand:ident $role:ident),+);)*) => {
        $(
            #[doc = concat!("[`wgloss::", stringify!($type), "`], which has formulas and shapes, of burn's tensors.")]
            ///
            /// R is the rank of the result: 1 where it is one number, in a dimension of 1. Queues the call on burn's
            /// device and returns; autodiff finds the gradients.
            ///
            /// # Errors
            /// [`Error::Option`](wgloss::Error::Option) and [`Error::Operand`](wgloss::Error::Operand) for options,
            /// shapes, dtypes, devices and R, before anything is queued. Labels and values out of range:
            /// [`faults`](crate::faults), or the function of the same name in [`checked`].
            pub fn $stem<const R: usize>($($operand: impl Into<Operand>,)+ options: &$type) -> Result<Tensor<R>> {
                LossCall::of(options)$(.tensor(Role::$role, $operand))+.rank(R).run()?.loss()
            }
        )*

        /// The functions once more, each of which waits for its result and returns labels and values out of range as
        /// an error.
        pub mod checked {
            use super::*;

            $(
                #[doc = concat!("[`", stringify!($stem), "`](super::", stringify!($stem), "()), which waits.")]
                ///
                /// # Errors
                /// Those of the function that does not wait, [`Error::BadLabels`](wgloss::Error::BadLabels),
                /// [`Error::BadValues`](wgloss::Error::BadValues), and what failed on the device.
                pub fn $stem<const R: usize>($($operand: impl Into<Operand>,)+ options: &$type) -> Result<Tensor<R>> {
                    LossCall::of(options)$(.tensor(Role::$role, $operand))+.rank(R).checked().run()?.loss()
                }
            )*
        }

        /// The names of the functions: those of [`wgloss::REGISTRY`], which a test compares.
        pub const FUNCTIONS: &[&str] = &[$(stringify!($stem)),*];
    };
}

functions! {
    l1 L1(input Input, target Target);
    mse Mse(input Input, target Target);
    smooth_l1 SmoothL1(input Input, target Target);
    huber Huber(input Input, target Target);
    gaussian_nll GaussianNll(input Input, target Target, var Var);
    poisson_nll PoissonNll(input Input, target Target);
    bce Bce(input Input, target Target);
    bce_with_logits BceWithLogits(input Input, target Target);
    sigmoid_focal SigmoidFocal(input Input, target Target);
    kl_div KlDiv(input Input, target Target);
    nll Nll(input Input, target Target);
    cross_entropy CrossEntropy(input Input, target Target);
    softmax_focal SoftmaxFocal(input Input, target Target);
    hinge_embedding HingeEmbedding(input Input, target Target);
    soft_margin SoftMargin(input Input, target Target);
    margin_ranking MarginRanking(input1 Input1, input2 Input2, target Target);
    multi_margin MultiMargin(input Input, target Target);
    multilabel_margin MultilabelMargin(input Input, target Target);
    multilabel_soft_margin MultilabelSoftMargin(input Input, target Target);
    cosine_embedding CosineEmbedding(input1 Input1, input2 Input2, target Target);
    triplet_margin TripletMargin(anchor Anchor, positive Positive, negative Negative);
    softmax Softmax(input Input);
    log_softmax LogSoftmax(input Input);
    sigmoid Sigmoid(input Input);
    log_sigmoid LogSigmoid(input Input);
    reduce Reduce(input Input);
    linear_cross_entropy LinearCrossEntropy(input Input, linear_weight LinearWeight, target Target);
}

/// The places of the largest along dimensions: [`reduce`] with [`ReduceOp::Argmax`], whose result is of integers (i64).
///
/// # Errors
/// As [`reduce`].
pub fn argmax<const R: usize>(input: impl Into<Operand>, options: &Reduce) -> Result<Tensor<R, Int>> {
    let options = Reduce {
        op: ReduceOp::Argmax,
        ..options.clone()
    };
    LossCall::of(&options).input(input).rank(R).run()?.index()
}
