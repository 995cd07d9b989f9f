//! Tensors on their way through burn's backends: any kind in any place, and all places of a call.

use burn::backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType};

/// A tensor of any kind, or none.
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Value<B: Backend> {
    Absent,
    Float(FloatTensor<B>),
    Int(IntTensor<B>),
    Bool(BoolTensor<B>),
}

/// How many tensors a loss has: those of its signature, then the optional ones.
pub const PLACES: usize = 6;

/// How many tensors can have gradients: the first of these.
pub const GRADS: usize = 4;

/// What a call reads. (A `Vec` of tensors is nothing that burn's extensions can carry.)
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub struct Operands<B: Backend> {
    #[extension_type]
    pub first: Value<B>,
    #[extension_type]
    pub second: Value<B>,
    #[extension_type]
    pub third: Value<B>,
    #[extension_type]
    pub fourth: Value<B>,
    #[extension_type]
    pub fifth: Value<B>,
    #[extension_type]
    pub sixth: Value<B>,
    #[extension_type]
    pub grad_output: Value<B>,
}

impl<B: Backend> Operands<B> {
    pub fn new(places: [Value<B>; PLACES], grad_output: Value<B>) -> Self {
        let [first, second, third, fourth, fifth, sixth] = places;
        Self {
            first,
            second,
            third,
            fourth,
            fifth,
            sixth,
            grad_output,
        }
    }

    pub fn into_parts(self) -> ([Value<B>; PLACES], Value<B>) {
        let places = [self.first, self.second, self.third, self.fourth, self.fifth, self.sixth];
        (places, self.grad_output)
    }
}

/// What a call computes.
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub struct Results<B: Backend> {
    #[extension_type]
    pub loss: Value<B>,
    #[extension_type]
    pub first: Value<B>,
    #[extension_type]
    pub second: Value<B>,
    #[extension_type]
    pub third: Value<B>,
    #[extension_type]
    pub fourth: Value<B>,
    #[extension_type]
    pub z_loss: Value<B>,
    #[extension_type]
    pub lse: Value<B>,
    #[extension_type]
    pub entropy: Value<B>,
    #[extension_type]
    pub argmax: Value<B>,
    #[extension_type]
    pub correct: Value<B>,
}

/// How many results there can be.
pub const RESULTS: usize = 10;

impl<B: Backend> Results<B> {
    /// In the order of [`crate::spec::slot`].
    pub fn new(values: [Value<B>; RESULTS]) -> Self {
        let [
            loss,
            first,
            second,
            third,
            fourth,
            z_loss,
            lse,
            entropy,
            argmax,
            correct,
        ] = values;
        Self {
            loss,
            first,
            second,
            third,
            fourth,
            z_loss,
            lse,
            entropy,
            argmax,
            correct,
        }
    }

    pub fn into_values(self) -> [Value<B>; RESULTS] {
        [
            self.loss,
            self.first,
            self.second,
            self.third,
            self.fourth,
            self.z_loss,
            self.lse,
            self.entropy,
            self.argmax,
            self.correct,
        ]
    }
}
