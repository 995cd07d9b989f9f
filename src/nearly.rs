//! Results that are nearly equal, as `approx` says it.

use approx::{AbsDiffEq, RelativeEq};

use crate::values::{Array, Values};

/// Of one shape, and every two elements alike. What they were stored as makes no difference.
fn alike<T>(a: &Array<T>, b: &Array<T>, same: impl Fn(&T, &T) -> bool) -> bool {
    a.shape == b.shape && a.data.len() == b.data.len() && a.data.iter().zip(&b.data).all(|(a, b)| same(a, b))
}

impl<T: AbsDiffEq> AbsDiffEq for Array<T>
where
    T::Epsilon: Clone,
{
    type Epsilon = T::Epsilon;

    fn default_epsilon() -> T::Epsilon {
        T::default_epsilon()
    }

    fn abs_diff_eq(&self, other: &Self, epsilon: T::Epsilon) -> bool {
        alike(self, other, |a, b| a.abs_diff_eq(b, epsilon.clone()))
    }
}

impl<T: RelativeEq> RelativeEq for Array<T>
where
    T::Epsilon: Clone,
{
    fn default_max_relative() -> T::Epsilon {
        T::default_max_relative()
    }

    fn relative_eq(&self, other: &Self, epsilon: T::Epsilon, max_relative: T::Epsilon) -> bool {
        alike(self, other, |a, b| {
            a.relative_eq(b, epsilon.clone(), max_relative.clone())
        })
    }
}

/// The same results are there, floats alike, places and counts equal.
fn all_alike(a: &Values, b: &Values, same: impl Fn(f64, f64) -> bool, arrays: impl Fn(&Array, &Array) -> bool) -> bool {
    let both = |a: &Option<Array>, b: &Option<Array>| match (a, b) {
        (Some(a), Some(b)) => arrays(a, b),
        (None, None) => true,
        _ => false,
    };
    let grads = || a.grads.iter().zip(&b.grads);
    let exact = |a: &Option<Vec<f64>>, b: &Option<Vec<f64>>| match (a, b) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, *b)),
        (a, b) => a == b,
    };
    both(&a.loss, &b.loss)
        && both(&a.grad_input, &b.grad_input)
        && a.grads.len() == b.grads.len()
        && grads().all(|((role, a), (other, b))| role == other && arrays(a, b))
        && both(&a.z_loss, &b.z_loss)
        && both(&a.lse, &b.lse)
        && both(&a.entropy, &b.entropy)
        && exact(&a.exact, &b.exact)
        && exact(&a.weight.map(|own| vec![own]), &b.weight.map(|own| vec![own]))
        && (&a.argmax, a.correct, a.terms, a.ignored) == (&b.argmax, b.correct, b.terms, b.ignored)
}

impl AbsDiffEq for Values {
    type Epsilon = f32;

    fn default_epsilon() -> f32 {
        f32::default_epsilon()
    }

    fn abs_diff_eq(&self, other: &Self, epsilon: f32) -> bool {
        let same = |a: f64, b: f64| a.abs_diff_eq(&b, epsilon.into());
        all_alike(self, other, same, |a, b| a.abs_diff_eq(b, epsilon))
    }
}

impl RelativeEq for Values {
    fn default_max_relative() -> f32 {
        f32::default_max_relative()
    }

    fn relative_eq(&self, other: &Self, epsilon: f32, max_relative: f32) -> bool {
        let same = |a: f64, b: f64| a.relative_eq(&b, epsilon.into(), max_relative.into());
        all_alike(self, other, same, |a, b| a.relative_eq(b, epsilon, max_relative))
    }
}
