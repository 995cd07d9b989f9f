//! Numbers on the host that are computed on where they lie, for the time of a call.

use std::borrow::Cow;

use crate::dtype::{Dtype, Element};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, checked_len};
use crate::values::Array;

/// What tensors can be lent of: [`Element`]s, and truth values, which are the numbers 0 and 1.
pub trait Number: bytemuck::NoUninit {
    #[doc(hidden)]
    const HELD: Dtype;
}

impl<T: Element> Number for T {
    const HELD: Dtype = T::DTYPE;
}

impl Number for bool {
    const HELD: Dtype = Dtype::U8;
}

/// A tensor, or numbers with their shape, as the [`functional`](crate::functional) forms of the losses and
/// [`Engine::upload_from`](crate::Engine::upload_from) take them.
///
/// | of | what happens |
/// |---|---|
/// | `(&[T], shape)`, [`&Array<T>`](Array) | read where they lie; nothing is copied on the host |
/// | [`&Tensor`](Tensor), on the host or on a device | shared |
/// | `f32` | a 0-d tensor |
/// | with the feature `ndarray`: `ArrayView<T, D>`, `&Array<T, D>` and others by reference | read where they lie, if in standard layout; else their numbers are copied into row-major order |
/// | `ndarray::Array<T, D>` | its memory becomes that of a tensor, if in standard layout; else as above |
///
/// T is any [`Element`] or `bool`. Integers and truth values become floats where a loss takes floats.
pub trait Argument<'a> {
    /// Lends it to a call; `name` is the argument's, for errors.
    ///
    /// # Errors
    /// [`Error::Operand`] where the shape does not hold as many numbers.
    fn lend(self, name: &'static str) -> Result<Lent<'a>>;
}

/// An [`Argument`], whatever it was.
#[derive(Clone, Debug)]
pub struct Lent<'a>(pub(crate) Form<'a>);

#[derive(Clone, Debug)]
pub(crate) enum Form<'a> {
    Tensor(Cow<'a, Tensor>),
    /// In row-major order, without gaps.
    Numbers {
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: Cow<'a, [u8]>,
    },
}

impl<'a> Lent<'a> {
    pub(crate) fn slice<T: Number>(name: &'static str, data: &'a [T], shape: &[usize]) -> Result<Self> {
        let held = checked_len(shape).map_err(|error| error.named(name))?;
        if held != data.len() {
            return Err(Error::operand(
                name,
                format!("shape {shape:?} holds {held} elements, the data has {}", data.len()),
            ));
        }
        Ok(Self(Form::Numbers {
            dtype: T::HELD,
            shape: shape.to_vec(),
            bytes: Cow::Borrowed(bytemuck::cast_slice(data)),
        }))
    }

    /// Its shape and dtype as a tensor, which has its elements only where it is one.
    pub(crate) fn outline(&self) -> Result<Cow<'_, Tensor>> {
        match &self.0 {
            Form::Tensor(tensor) => Ok(Cow::Borrowed(tensor.as_ref())),
            Form::Numbers { dtype, shape, .. } => Tensor::placeholder(*dtype, shape).map(Cow::Owned),
        }
    }

    /// A tensor on the host, of its own.
    pub(crate) fn into_tensor(self) -> Result<Tensor> {
        match self.0 {
            Form::Tensor(tensor) => Ok(tensor.into_owned()),
            Form::Numbers { dtype, shape, bytes } => Tensor::filled(dtype, &shape, |out| {
                out.copy_from_slice(&bytes);
                Ok(())
            }),
        }
    }
}

impl<'a, T: Number, S: AsRef<[usize]>> Argument<'a> for (&'a [T], S) {
    fn lend(self, name: &'static str) -> Result<Lent<'a>> {
        Lent::slice(name, self.0, self.1.as_ref())
    }
}

impl<'a, T: Element> Argument<'a> for &'a Array<T> {
    fn lend(self, name: &'static str) -> Result<Lent<'a>> {
        Lent::slice(name, &self.data, &self.shape)
    }
}

impl<'a> Argument<'a> for &'a Tensor {
    fn lend(self, _: &'static str) -> Result<Lent<'a>> {
        Ok(Lent(Form::Tensor(Cow::Borrowed(self))))
    }
}

impl<'a> Argument<'a> for f32 {
    fn lend(self, _: &'static str) -> Result<Lent<'a>> {
        Ok(Lent(Form::Tensor(Cow::Owned(Tensor::new(&[self], &[])?))))
    }
}
