//! Fused loss kernels in WGSL, dispatched through wgpu, with an f64 reference on the processor.
//!
#![doc = include_str!("../docs/tour.md")]
//! # Where to find what
//!
//! | to … | see |
//! |---|---|
//! | compute one call from arrays on the host | [`functional`] |
//! | keep tensors on the device between calls | [`Engine::upload`], [`Loss::forward`], [`Loss::backward`], [`Loss::forward_backward`] |
//! | compute where there is no adapter, or choose one | [`Engine::cpu`], [`Engine::open`], [`Engine::adapters`] |
//! | work on a wgpu device and buffers of your own, in your own command encoder | [`Engine::from_wgpu`], [`Tensor::from_buffer`], [`Loss::encode`] |
//! | keep a call, its tensors by name | [`OwnedCall`] |
//! | get other gradients than the first tensor's, in place or added up over micro-batches | [`Call::grads`], [`GradTo`] |
//! | have the loss, statistics and other gradients in tensors of your own | [`LossTo`], [`Call::into`] |
//! | never block a thread | [`Loss::run_async`], [`Output::read_async`], [`Output::try_read`] |
//! | have statistics of the rows beside the loss: log-sum-exp, arg-max, entropy, accuracy | [`Stats`] |
//! | compute on what is larger than the device's memory, such as files | [`Stream`], [`Pages`], [`Sink`] |
//! | add up losses over batches or processes | [`Batches`], [`Totals::merge`], [`denominator`] |
//! | reduce an array, or take its softmax | [`Reduce`], [`Softmax`], [`LogSoftmax`] |
//! | take an optimizer's step | [`optim`], [`AdamW`] |
//! | clip gradients, scale a loss, skip steps that are not finite | [`ClipGrad`], [`GradScaler`] |
//! | hear of bad labels of calls that nobody reads | [`Faults`] |
//! | know what may go wrong, and have values inspected | [`Error`], [`Checks`] |
//! | find a loss and its options by name | [`find`], [`find_preset`], [`Info`], [`Loss::set`] |
//! | compile ahead, keep pipelines in a file, let go of memory | [`Engine::warm_up`], [`Engine::keep_pipelines`], [`Engine::release`] |
//! | time calls, or cut the work for an adapter | [`Engine::stopwatch`], [`Tuning`] |
//! | know how exact results are | [`precision`] |
//! | test results of your own against the f64 reference | [`reference::assert_close`] |
//! | compare results with `approx`, compute on arrays of `ndarray` | the features `approx` and `ndarray`, [`Argument`] |
//!
//! What the documentation does not list (modules like `plan`, `problem` and `shader`) is public for this project's own
//! tests and command line. It is not promised by semver.

mod adopt;
mod argument;
#[cfg(feature = "ndarray")]
mod arrays;
mod batches;
mod call;
mod cpu;
#[doc(hidden)]
pub mod definition;
mod dtype;
mod engine;
mod error;
mod family;
mod faults;
mod fold;
mod gpu;
mod inspect;
#[doc(hidden)]
pub mod layout;
pub mod limits;
mod loss;
mod math;
mod memory;
#[cfg(feature = "approx")]
mod nearly;
pub mod optim;
mod options;
mod output;
mod pages;
#[doc(hidden)]
pub mod plan;
pub mod precision;
#[doc(hidden)]
pub mod problem;
mod readback;
pub mod reference;
mod reuse;
#[doc(hidden)]
pub mod scalars;
#[doc(hidden)]
pub mod shader;
mod shapes;
mod stream;
mod tensor;
mod timing;
pub mod tuning;
mod update;
mod values;
mod view;
mod words;

/// The version of it that [`f16`](half::f16) and [`bf16`](half::bf16) tensors are made of.
pub use half;
/// The version of it whose devices, buffers and encoders are taken.
pub use wgpu;

/// The version of it whose views are taken, and whose arrays are given (feature `ndarray`).
#[cfg(feature = "ndarray")]
pub use ndarray;

pub use argument::{Argument, Lent, Number};
pub use batches::{Batches, Totals, denominator};
pub use call::{Call, GradTo, LossTo};
pub use dtype::{Dtype, Element};
pub use engine::Engine;
pub use error::{Error, Result};
pub use faults::{Faults, Found};
pub use gpu::Activity;
pub use limits::Limits;
pub use loss::{
    Bce, BceWithLogits, CosineEmbedding, CrossEntropy, GaussianNll, HingeEmbedding, Huber, Info, KlDiv, L1,
    LinearCrossEntropy, LogSigmoid, LogSoftmax, Loss, MarginRanking, Mse, MultiMargin, MultilabelMargin,
    MultilabelSoftMargin, Nll, OnEmpty, OperandInfo, OperandKind, OptionInfo, OwnedCall, PoissonNll, Preset, REGISTRY,
    Reduce, Sigmoid, SigmoidFocal, SmoothL1, SoftMargin, Softmax, SoftmaxFocal, TensorInfo, TripletMargin, find,
    find_preset,
};
pub use optim::{Adagrad, Adam, AdamW, ClipGrad, GradScaler, Optimizer, Sgd};
pub use options::{Scalar, ScalarKind};
pub use output::Output;
pub use pages::{Pages, Sink};
pub use stream::{Progress, Stream, Streamed};
pub use tensor::Tensor;
pub use timing::{Stopwatch, Timing};
pub use tuning::Tuning;
pub use values::{Array, Values};
pub use view::View;
pub use words::{Checks, Mode, OnNan, ReduceOp, Reduction, Role, Stats};

/// The losses as functions: host arrays in, numbers out, in one call. Numbers are read where they lie
/// ([`Argument`]).
///
/// ```
/// use wgloss::{CrossEntropy, Engine, Mode, functional::cross_entropy};
///
/// # fn main() -> wgloss::Result<()> {
/// let engine = Engine::cpu();
/// let (logits, labels) = ([2.0f32, 0.0, 0.0], [0i64]);
/// let values = cross_entropy(&engine, (&logits[..], [1, 3]), (&labels[..], [1]), &CrossEntropy::default(), Mode::Forward)?;
/// assert!((values.scalar().unwrap() - 0.2395).abs() < 1e-3);
/// # Ok(())
/// # }
/// ```
pub mod functional {
    pub use crate::loss::{
        bce, bce_with_logits, cosine_embedding, cross_entropy, gaussian_nll, hinge_embedding, huber, kl_div, l1,
        linear_cross_entropy, log_sigmoid, log_softmax, margin_ranking, mse, multi_margin, multilabel_margin,
        multilabel_soft_margin, nll, poisson_nll, reduce, sigmoid, sigmoid_focal, smooth_l1, soft_margin, softmax,
        softmax_focal, triplet_margin,
    };
}
