//! Results of somebody's own, as they are handed over to be compared.

use std::borrow::Cow;

use crate::dtype::{Dtype, Element, floats};
use crate::values::{Array, Values};
use crate::words::Role;

/// Numbers of one result.
#[derive(Clone, Debug)]
pub(super) struct Given<'a> {
    /// The result, or the operand whose gradient it is; [`Role::Grad`] 0 for that of the first.
    pub role: Role,
    /// What they were stored as.
    pub dtype: Dtype,
    pub numbers: Numbers<'a>,
    /// Where it is known.
    pub shape: Option<&'a [usize]>,
}

#[derive(Clone, Debug)]
pub(super) enum Numbers<'a> {
    Floats(Cow<'a, [f32]>),
    Whole(Vec<i64>),
}

/// Results of your own, for [`compare`](super::compare) and [`assert_close`](super::assert_close): bare numbers in
/// row-major order, by name. A slice alone is the loss, two are the loss and the gradient of the first tensor,
/// [`Values`] are all that they hold.
///
/// Floats are judged by the dtype that they come in: f16 and bf16 are allowed the rounding to it.
#[derive(Clone, Debug, Default)]
pub struct Mine<'a> {
    pub(super) given: Vec<Given<'a>>,
}

impl<'a> Mine<'a> {
    /// Without any results yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn put(mut self, given: Given<'a>) -> Self {
        self.given.retain(|own| own.role != given.role);
        self.given.push(given);
        self
    }

    fn slice<T: Element>(self, role: Role, numbers: &'a [T]) -> Self {
        let bytes = bytemuck::cast_slice(numbers);
        let own = match bytemuck::try_cast_slice(bytes) {
            Ok(singles) if T::DTYPE == Dtype::F32 => Cow::Borrowed(singles),
            _ => Cow::Owned(floats(T::DTYPE, bytes)),
        };
        self.put(Given {
            role,
            dtype: T::DTYPE,
            numbers: Numbers::Floats(own),
            shape: None,
        })
    }

    fn array(self, role: Role, array: Option<&'a Array>) -> Self {
        let Some(array) = array else { return self };
        self.put(Given {
            role,
            dtype: array.dtype,
            numbers: Numbers::Floats(Cow::Borrowed(&array.data)),
            shape: Some(&array.shape),
        })
    }

    /// The losses, or the one of a reduction; the value of a function.
    pub fn loss<T: Element>(self, numbers: &'a [T]) -> Self {
        self.slice(Role::Loss, numbers)
    }

    /// The gradient of the first tensor of the signature.
    pub fn grad_input<T: Element>(self, numbers: &'a [T]) -> Self {
        self.slice(Role::Grad(0), numbers)
    }

    /// The gradient of a tensor of the signature, by its name.
    pub fn grad<T: Element>(self, role: Role, numbers: &'a [T]) -> Self {
        self.slice(role, numbers)
    }

    /// The z-loss by itself.
    pub fn z_loss<T: Element>(self, numbers: &'a [T]) -> Self {
        self.slice(Role::ZLoss, numbers)
    }

    /// The log-sum-exp of each row.
    pub fn lse<T: Element>(self, numbers: &'a [T]) -> Self {
        self.slice(Role::Lse, numbers)
    }

    /// The entropy of each row.
    pub fn entropy<T: Element>(self, numbers: &'a [T]) -> Self {
        self.slice(Role::Entropy, numbers)
    }

    /// The place of the largest, of each row or of [`Reduce`](crate::Reduce).
    pub fn argmax<T: Copy + Into<i64>>(self, places: &[T]) -> Self {
        self.put(Given {
            role: Role::Argmax,
            dtype: Dtype::I64,
            numbers: Numbers::Whole(places.iter().map(|&place| place.into()).collect()),
            shape: None,
        })
    }

    /// How many of the rows kept have their class as arg-max.
    pub fn correct(self, rows: u64) -> Self {
        self.put(Given {
            role: Role::Correct,
            dtype: Dtype::I64,
            numbers: Numbers::Whole(vec![i64::try_from(rows).unwrap_or(i64::MAX)]),
            shape: None,
        })
    }
}

/// What this library has computed, or what was made to look like it: shapes are compared, too.
impl<'a> From<&'a Values> for Mine<'a> {
    fn from(values: &'a Values) -> Self {
        let mut mine = Self::new()
            .array(Role::Loss, values.loss.as_ref())
            .array(Role::Grad(0), values.grad_input.as_ref())
            .array(Role::ZLoss, values.z_loss.as_ref())
            .array(Role::Lse, values.lse.as_ref())
            .array(Role::Entropy, values.entropy.as_ref());
        for (role, grad) in &values.grads {
            mine = mine.array(*role, Some(grad));
        }
        if let Some(argmax) = &values.argmax {
            mine = mine.argmax(&argmax.data);
        }
        match values.correct {
            Some(correct) => mine.correct(correct),
            None => mine,
        }
    }
}

impl<'a> From<&Mine<'a>> for Mine<'a> {
    fn from(mine: &Mine<'a>) -> Self {
        mine.clone()
    }
}

/// The loss alone.
impl<'a, L: AsRef<[f32]> + ?Sized> From<&'a L> for Mine<'a> {
    fn from(loss: &'a L) -> Self {
        Self::new().loss(loss.as_ref())
    }
}

/// The loss, and the gradient of the first tensor.
impl<'a, L: AsRef<[f32]> + ?Sized, G: AsRef<[f32]> + ?Sized> From<(&'a L, &'a G)> for Mine<'a> {
    fn from((loss, grad): (&'a L, &'a G)) -> Self {
        Self::new().loss(loss.as_ref()).grad_input(grad.as_ref())
    }
}
