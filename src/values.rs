//! Results as numbers on the host.

use crate::dtype::Dtype;
use crate::words::Role;

/// An array on the host, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T = f32> {
    pub shape: Vec<usize>,
    pub data: Vec<T>,
    /// What the numbers were stored as: the gradient of a bf16 tensor holds bf16 numbers.
    pub dtype: Dtype,
}

/// Results as numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// 0-d for reductions; the value of a function.
    pub loss: Option<Array>,
    /// The value of a reduction of integers on the processor, before it is rounded to f32: sums are exact up to 2^53.
    /// In the shape of `loss`.
    pub exact: Option<Vec<f64>>,
    /// The gradient of the first tensor of the signature.
    pub grad_input: Option<Array>,
    /// The gradients of the others that were asked for.
    pub grads: Vec<(Role, Array)>,
    pub z_loss: Option<Array>,
    pub lse: Option<Array>,
    pub entropy: Option<Array>,
    pub argmax: Option<Array<i64>>,
    /// How many of the rows kept have their class as arg-max.
    pub correct: Option<u64>,
    /// Losses before the reduction: rows, or elements.
    pub terms: u64,
    /// Rows left out by `ignore_index`.
    pub ignored: u64,
    /// What the rows kept weigh, where classes or rows have weights or rows are left out: what `mean` divides by.
    pub weight: Option<f64>,
}

impl Values {
    /// The loss of `mean` or `sum`.
    pub fn scalar(&self) -> Option<f32> {
        match &self.loss {
            Some(Array { shape, data, .. }) if shape.is_empty() => data.first().copied(),
            _ => None,
        }
    }

    /// The gradient of a tensor of the signature other than the first.
    pub fn grad(&self, role: Role) -> Option<&Array> {
        self.grads.iter().find(|(own, _)| *own == role).map(|(_, grad)| grad)
    }

    /// The share of the rows kept whose class is the arg-max; NaN of none.
    pub fn accuracy(&self) -> Option<f64> {
        self.correct
            .map(|correct| correct as f64 / (self.terms - self.ignored) as f64)
    }
}
