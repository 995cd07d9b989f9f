//! A function for each loss, tensors in PyTorch's order.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::op::{apply, engine};

macro_rules! losses {
    ($($name:ident($($argument:ident),+): $loss:ident;)*) => {
        $(
            #[doc = concat!("[`wgloss::", stringify!($loss), "`] of candle's tensors, with gradients, on [`engine`]:")]
            /// formula, shapes and options are there.
            ///
            /// # Errors
            /// As [`apply`].
            pub fn $name($($argument: &Tensor),+, loss: &wgloss::$loss) -> Result<Tensor> {
                apply(engine(), Arc::new(loss.clone()), &[$($argument),+])
            }
        )*

        /// The losses that have a function here.
        pub const LOSSES: &[&str] = &[$(stringify!($name)),*];
    };
}

losses! {
    bce(input, target): Bce;
    bce_with_logits(input, target): BceWithLogits;
    cosine_embedding(input1, input2, target): CosineEmbedding;
    cross_entropy(input, target): CrossEntropy;
    gaussian_nll(input, target, var): GaussianNll;
    hinge_embedding(input, target): HingeEmbedding;
    huber(input, target): Huber;
    kl_div(input, target): KlDiv;
    l1(input, target): L1;
    linear_cross_entropy(input, linear_weight, target): LinearCrossEntropy;
    log_sigmoid(input): LogSigmoid;
    log_softmax(input): LogSoftmax;
    margin_ranking(input1, input2, target): MarginRanking;
    mse(input, target): Mse;
    multi_margin(input, target): MultiMargin;
    multilabel_margin(input, target): MultilabelMargin;
    multilabel_soft_margin(input, target): MultilabelSoftMargin;
    nll(input, target): Nll;
    poisson_nll(input, target): PoissonNll;
    reduce(input): Reduce;
    sigmoid(input): Sigmoid;
    sigmoid_focal(input, target): SigmoidFocal;
    smooth_l1(input, target): SmoothL1;
    soft_margin(input, target): SoftMargin;
    softmax(input): Softmax;
    softmax_focal(input, target): SoftmaxFocal;
    triplet_margin(anchor, positive, negative): TripletMargin;
}
