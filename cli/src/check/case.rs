//! A case: a loss with its options, its tensors, and what is asked of it.

use wgloss::{Call, Dtype, Info, Loss, Mode, Reduction, Result, Role, Scalar, Stats, Tensor, precision};

use super::data::Data;

/// A tensor as it is stored, and the same numbers in f32, of which the reference makes its truth.
pub struct Held {
    pub role: Role,
    pub stored: Tensor,
    pub wide: Tensor,
}

impl Held {
    /// Floats rounded to a dtype.
    pub fn floats(role: Role, data: &[f32], shape: &[usize], dtype: Dtype) -> Result<Self> {
        let stored = Tensor::new(data, shape)?.to_dtype(dtype)?;
        let wide = stored.to_dtype(Dtype::F32)?;
        Ok(Self { role, stored, wide })
    }

    pub fn classes(role: Role, data: &[i64], shape: &[usize], dtype: Dtype) -> Result<Self> {
        let stored = match dtype {
            Dtype::U8 => Tensor::new(&data.iter().map(|&c| c as u8).collect::<Vec<_>>(), shape)?,
            Dtype::I32 => Tensor::new(&data.iter().map(|&c| c as i32).collect::<Vec<_>>(), shape)?,
            Dtype::U32 => Tensor::new(&data.iter().map(|&c| c as u32).collect::<Vec<_>>(), shape)?,
            _ => Tensor::new(data, shape)?,
        };
        let wide = stored.clone();
        Ok(Self { role, stored, wide })
    }
}

/// Which numbers a case is run on.
#[derive(Clone, Copy)]
pub enum Form<'a> {
    Stored,
    Wide,
    /// The wide ones, each off by about two ulps of f32.
    Nudged(Nudge<'a>),
}

/// Which way numbers are off.
#[derive(Clone, Copy)]
pub enum Nudge<'a> {
    /// As some seed has it.
    Random(u64),
    /// So that each raises the loss, or each lowers it: the signs of these gradients, by place of the signature.
    Along(&'a [Vec<f64>], f64),
}

/// A case ready to run on host tensors.
pub struct Case {
    pub info: &'static Info,
    pub text: String,
    pub options: Vec<(&'static str, Scalar)>,
    pub reduction: Reduction,
    pub mode: Mode,
    pub signature: Vec<Held>,
    pub given: Vec<Held>,
    pub grad_output: Option<Held>,
    /// Upstream gradients of rows' statistics.
    pub of_stats: Vec<Held>,
    pub grads: Vec<Role>,
    pub stats: Stats,
}

impl Case {
    /// Runs something on the loss and the call of this case.
    pub fn with<T>(&self, form: Form<'_>, run: impl FnOnce(&dyn Loss, &Call<'_>) -> Result<T>) -> Result<T> {
        let mut loss = (self.info.new)();
        for (name, value) in &self.options {
            loss.set(name, value)?;
        }
        loss.set_reduction(self.reduction);
        let plain = |held: &Held| match form {
            Form::Stored => held.stored.clone(),
            Form::Wide | Form::Nudged(_) => held.wide.clone(),
        };
        for held in &self.given {
            loss.attach(held.role, plain(held))?;
        }
        let numbers = |(place, held): (usize, &Held)| match form {
            Form::Nudged(nudge) => nudged(&held.wide, nudge, place),
            _ => Ok(plain(held)),
        };
        let tensors: Vec<Tensor> = self.signature.iter().enumerate().map(numbers).collect::<Result<_>>()?;
        let tensors: Vec<&Tensor> = tensors.iter().collect();
        let grad_output = self.grad_output.as_ref().map(plain);
        let of_stats = |role| self.of_stats.iter().find(|own| own.role == role).map(plain);
        let (grad_lse, grad_entropy) = (of_stats(Role::GradLse), of_stats(Role::GradEntropy));
        let call = Call {
            grad_output: grad_output.as_ref(),
            grad_lse: grad_lse.as_ref(),
            grad_entropy: grad_entropy.as_ref(),
            grads: self.grads.clone(),
            stats: self.stats,
            ..Call::new(self.mode, &tensors)
        };
        run(loss.as_ref(), &call)
    }
}

/// Every number a little larger or smaller.
fn nudged(tensor: &Tensor, nudge: Nudge<'_>, place: usize) -> Result<Tensor> {
    let Some(data) = tensor.as_slice::<f32>() else {
        return Ok(tensor.clone());
    };
    let mut random = match nudge {
        Nudge::Random(seed) => Data::new(seed, place as u64),
        Nudge::Along(..) => Data::new(0, 0),
    };
    let mut step = |index: usize, x: f32| match nudge {
        Nudge::Random(_) => random.normal(),
        Nudge::Along(gradients, sign) => {
            let slope = gradients
                .get(place)
                .and_then(|all| all.get(index))
                .copied()
                .unwrap_or_default();
            (slope * sign) as f32 * x
        }
    };
    let numbers = data
        .iter()
        .enumerate()
        .map(|(index, &x)| precision::nudge(x, step(index, x) >= 0.0));
    Tensor::new(&numbers.collect::<Vec<_>>(), tensor.shape())
}
