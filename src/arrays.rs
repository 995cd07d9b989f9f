//! Arrays of `ndarray`: views in, arrays out.

use std::borrow::Cow;

use ndarray::{Array as NdArray, ArrayBase, ArrayD, ArrayView, Data, Dimension, IxDyn};

use crate::argument::{Argument, Form, Lent, Number};
use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::values::Array;

/// Numbers in row-major order where they lie, else a copy of them in that order.
fn lend<'a, T: Number, D: Dimension>(view: &ArrayView<'a, T, D>) -> Lent<'a> {
    let bytes = match view.to_slice() {
        Some(numbers) => Cow::Borrowed(bytemuck::cast_slice(numbers)),
        None => {
            let numbers: Vec<T> = view.iter().copied().collect();
            Cow::Owned(bytemuck::cast_slice(&numbers).to_vec())
        }
    };
    Lent(Form::Numbers {
        dtype: T::HELD,
        shape: view.shape().to_vec(),
        bytes,
    })
}

impl<'a, T: Number, D: Dimension> Argument<'a> for ArrayView<'a, T, D> {
    fn lend(self, _: &'static str) -> Result<Lent<'a>> {
        Ok(lend(&self))
    }
}

impl<'a, S: Data, D: Dimension> Argument<'a> for &'a ArrayBase<S, D>
where
    S::Elem: Number,
{
    fn lend(self, _: &'static str) -> Result<Lent<'a>> {
        Ok(lend(&self.view()))
    }
}

impl<'a, T: Element, D: Dimension> Argument<'a> for NdArray<T, D> {
    fn lend(self, name: &'static str) -> Result<Lent<'a>> {
        let tensor = Tensor::try_from(self).map_err(|error| error.named(name))?;
        Ok(Lent(Form::Tensor(Cow::Owned(tensor))))
    }
}

/// The array's memory becomes the tensor's, where it is in standard layout and begins with the first element; else its
/// numbers are copied into row-major order.
impl<T: Element, D: Dimension> TryFrom<NdArray<T, D>> for Tensor {
    type Error = Error;

    fn try_from(array: NdArray<T, D>) -> Result<Self> {
        let shape = array.shape().to_vec();
        if !array.is_standard_layout() {
            return Self::from_vec(array.iter().copied().collect(), &shape);
        }
        let len = array.len();
        let (mut numbers, first) = array.into_raw_vec_and_offset();
        numbers.drain(..first.unwrap_or(0));
        numbers.truncate(len);
        Self::from_vec(numbers, &shape)
    }
}

/// A host tensor with a copy of the numbers, in row-major order. The [`functional`](crate::functional) forms and
/// [`Engine::upload_from`](crate::Engine::upload_from) take a view without one.
impl<T: Number, D: Dimension> TryFrom<ArrayView<'_, T, D>> for Tensor {
    type Error = Error;

    fn try_from(view: ArrayView<'_, T, D>) -> Result<Self> {
        lend(&view).into_tensor()
    }
}

/// A host tensor with a copy of the numbers, in row-major order.
impl<S: Data, D: Dimension> TryFrom<&ArrayBase<S, D>> for Tensor
where
    S::Elem: Number,
{
    type Error = Error;

    fn try_from(array: &ArrayBase<S, D>) -> Result<Self> {
        lend(&array.view()).into_tensor()
    }
}

impl<T> Array<T> {
    /// The same array of `ndarray`, in the same memory (feature `ndarray`).
    ///
    /// # Errors
    /// [`Error::Operand`] where `shape` does not hold as many numbers as there are, which no result has.
    pub fn into_ndarray(self) -> Result<ArrayD<T>> {
        let (shape, len) = (IxDyn(&self.shape), self.data.len());
        let wrong = |_| Error::operand("shape", format!("{:?} does not hold {len} elements", self.shape));
        ArrayD::from_shape_vec(shape, self.data).map_err(wrong)
    }
}

impl<T> TryFrom<Array<T>> for ArrayD<T> {
    type Error = Error;

    fn try_from(array: Array<T>) -> Result<Self> {
        array.into_ndarray()
    }
}
