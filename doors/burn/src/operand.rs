//! Tensors of burn's as arguments, of whatever rank and kind.

use burn::backend::{Dispatch, DispatchTensor, TensorMetadata};
use burn::tensor::{Bool, DType, Int, Tensor};
use wgloss::{Error, Result};

use crate::value::Value;

/// A tensor of burn's of any rank and kind: what our functions and options take. `tensor.into()` makes one of a
/// [`Tensor`] or of a reference to one, which shares its memory.
#[derive(Clone, Debug)]
pub struct Operand(pub(crate) Value<Dispatch>);

macro_rules! from {
    ($($kind:ty => $value:ident),*) => {
        $(
            impl<const D: usize> From<Tensor<D, $kind>> for Operand {
                fn from(tensor: Tensor<D, $kind>) -> Self {
                    Self(Value::$value(tensor.into_dispatch()))
                }
            }

            impl<const D: usize> From<&Tensor<D, $kind>> for Operand {
                fn from(tensor: &Tensor<D, $kind>) -> Self {
                    tensor.clone().into()
                }
            }
        )*
    };
}
from!(Int => Int, Bool => Bool);

impl<const D: usize> From<Tensor<D>> for Operand {
    fn from(tensor: Tensor<D>) -> Self {
        Self(Value::Float(tensor.into_dispatch()))
    }
}

impl<const D: usize> From<&Tensor<D>> for Operand {
    fn from(tensor: &Tensor<D>) -> Self {
        tensor.clone().into()
    }
}

impl From<&Operand> for Operand {
    fn from(operand: &Operand) -> Self {
        operand.clone()
    }
}

impl Operand {
    pub(crate) fn tensor(&self) -> Option<&DispatchTensor> {
        match &self.0 {
            Value::Absent => None,
            Value::Float(tensor) | Value::Int(tensor) | Value::Bool(tensor) => Some(tensor),
        }
    }

    pub(crate) fn dtype(&self) -> DType {
        self.tensor().map_or(DType::F32, TensorMetadata::dtype)
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        self.tensor().map(|tensor| tensor.shape().to_vec()).unwrap_or_default()
    }
}

/// A result as a tensor of a rank.
fn ranked(name: &'static str, tensor: DispatchTensor, rank: usize) -> Result<DispatchTensor> {
    let shape = tensor.shape();
    if shape.num_dims() == rank {
        return Ok(tensor);
    }
    Err(Error::Operand {
        name,
        message: format!("has shape {shape:?}, a tensor of rank {rank} is asked for"),
    })
}

fn other_kind(name: &'static str, wanted: &str) -> Error {
    Error::Operand {
        name,
        message: format!("is not there, or no tensor of {wanted}"),
    }
}

/// A result as a tensor of floats.
pub(crate) fn float<const D: usize>(name: &'static str, value: Value<Dispatch>) -> Result<Tensor<D>> {
    match value {
        Value::Float(tensor) => Ok(Tensor::from_dispatch(ranked(name, tensor, D)?)),
        _ => Err(other_kind(name, "floats")),
    }
}

/// A result as a tensor of integers.
pub(crate) fn int<const D: usize>(name: &'static str, value: Value<Dispatch>) -> Result<Tensor<D, Int>> {
    match value {
        Value::Int(tensor) => Ok(Tensor::from_dispatch(ranked(name, tensor, D)?)),
        _ => Err(other_kind(name, "integers")),
    }
}
