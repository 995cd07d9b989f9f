//! Results against the truth by the error model of `precision`.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use wgloss::problem::Divisor;
use wgloss::{Dtype, Engine, Error, Mode, Reduction, Role, Scalar, Tensor, Tuning, precision, reference};

use super::{Draw, Flavour};
use crate::common::cases::Case;

/// A result, its truth, and the error allowed to each number.
pub struct Judged {
    name: String,
    dtype: Dtype,
    got: Vec<f32>,
    pub want: Vec<f64>,
    allowed: Vec<f64>,
}

impl Judged {
    /// The first number that is further off than allowed with a slack of its own.
    pub fn miss(&self, slack: Option<&[f64]>) -> Option<String> {
        let (name, dtype) = (&self.name, self.dtype);
        if self.got.len() != self.want.len() {
            return Some(format!(
                "{name}: {} numbers, expected {}",
                self.got.len(),
                self.want.len()
            ));
        }
        let slack = |index: usize| slack.map_or(0.0, |slack| slack[index]);
        let fits = |i: usize| precision::admits(dtype, self.got[i], self.want[i], self.allowed[i] + slack(i));
        let index = (0..self.got.len()).find(|&i| !fits(i))?;
        let (got, want) = (self.got[index], self.want[index]);
        Some(format!(
            "{name}[{index}] of {dtype}: got {got:e}, want {want:e}, off by {:e}; allowed {:e}, and {:e} for its inputs",
            (f64::from(got) - want).abs(),
            self.allowed[index],
            slack(index),
        ))
    }

    /// The largest error of an f32 result beside the one allowed.
    pub fn share(&self) -> f64 {
        let shares = (0..self.got.len()).map(|i| (f64::from(self.got[i]) - self.want[i]).abs() / self.allowed[i]);
        let f32s = shares.filter(|share| self.dtype == Dtype::F32 && share.is_finite());
        f32s.fold(0.0, f64::max)
    }
}

/// What a call computes: the numbers of each result, in an order of its own.
type Truth = Vec<Vec<f64>>;

/// The truth of a draw whose case, in f32, is changed first.
fn truth(draw: &Draw, mode: Mode, change: impl FnOnce(&mut Case)) -> Option<Truth> {
    let (mut case, _) = draw.case()?;
    let wide = |tensor: &Tensor| match tensor.dtype().is_float() {
        true => tensor.to_dtype(Dtype::F32).unwrap(),
        false => tensor.clone(),
    };
    let given: Vec<(Role, Tensor)> = case
        .loss
        .tensors()
        .iter()
        .map(|(role, own)| (*role, wide(own)))
        .collect();
    for (role, tensor) in given {
        case.loss.attach(role, tensor).unwrap();
    }
    case.upstream = wide(&case.upstream);
    case.tensors = case.tensors.iter().map(wide).collect();
    change(&mut case);
    let want = reference::run(case.loss.as_ref(), &case.call(mode)).ok()?;
    let mut list = Vec::new();
    if mode.wants_loss() {
        list.push(want.loss);
    }
    list.extend(want.grads.into_iter().map(|(_, grad)| grad));
    list.extend([want.lse, want.entropy].into_iter().filter(|_| case.stats.any()));
    Some(list)
}

fn change_all(tensor: &mut Tensor, mut change: impl FnMut(f32) -> f32) {
    if let Some(data) = tensor.as_slice::<f32>() {
        let data: Vec<f32> = data.iter().map(|&x| change(x)).collect();
        *tensor = Tensor::new(&data, tensor.shape()).unwrap();
    }
}

/// Inputs a little off.
fn move_all(case: &mut Case, seed: u64, change: fn(f32, bool) -> f32) {
    let mut lot = Pcg64Mcg::seed_from_u64(seed);
    for tensor in &mut case.tensors {
        change_all(tensor, |x| change(x, lot.random()));
    }
}

/// Twice what the last digits of the inputs are worth to a result, by its place.
pub fn slack(draw: &Draw, mode: Mode, place: usize, want: &[f64]) -> Vec<f64> {
    // Between norms and cosines there are kinks, too, but not where numbers were chosen.
    let is_smooth = place == 0 && mode.wants_loss() || is_of_pairs(draw);
    let change = if is_smooth { precision::moved } else { precision::nudge };
    let mut truths: Vec<Option<Truth>> = (0..24)
        .map(|seed| truth(draw, mode, |case| move_all(case, seed, change)))
        .collect();
    let small = |x: f32| if f64::from(x.abs()) < precision::UNIT { 0.0 } else { x };
    truths.push(truth(draw, mode, |case| {
        case.tensors.iter_mut().for_each(|tensor| change_all(tensor, small));
    }));
    let mut slack = vec![0f64; want.len()];
    for other in truths.iter().flatten().filter_map(|truth| truth.get(place)) {
        for (slack, (want, other)) in slack.iter_mut().zip(want.iter().zip(other)) {
            *slack = slack.max(2.0 * (want - other).abs());
        }
    }
    slack
}

/// Compares rows of several tensors.
pub fn is_of_pairs(draw: &Draw) -> bool {
    matches!(draw.flavour.loss, "triplet_margin" | "cosine_embedding")
}

/// The size of numbers that are made of numbers like themselves: their own, and, where that is less than 1, that of the
/// largest.
fn sizes(want: &[f64]) -> Vec<f64> {
    let finite = want.iter().filter(|x| x.is_finite());
    let floor = finite.fold(0.0f64, |most, x| most.max(x.abs())).min(1.0);
    want.iter().map(|x| x.abs() + floor).collect()
}

/// The size of unreduced losses that are made of larger numbers, which cancel.
fn made_of(draw: &Draw) -> Option<Vec<f64>> {
    let of = |change: &dyn Fn(&mut Case)| truth(draw, Mode::Forward, change)?.into_iter().next();
    match draw.flavour.loss {
        // The columns without their signs.
        "reduce" => {
            let op = draw.flavour.setting.iter().find(|(name, _)| *name == "op");
            let adds = op.is_none_or(|(_, op)| *op == Scalar::Choice("mean".into()));
            let sums = of(&|case| change_all(&mut case.tensors[0], f32::abs)).filter(|_| adds)?;
            Some(sizes(&sums))
        }
        // The distances: each is the loss where the other is that of a row from itself.
        "triplet_margin" => {
            let distances = [[0, 1, 0], [0, 2, 0], [1, 2, 1]].map(|places| {
                of(&|case| case.tensors = places.map(|place: usize| case.tensors[place].clone()).to_vec())
            });
            let mut sum = vec![1.0; distances[0].as_ref()?.len()];
            for distance in distances {
                sum.iter_mut().zip(distance?).for_each(|(sum, own)| *sum += own);
            }
            Some(sum)
        }
        _ => None,
    }
}

/// The size of a gradient that is made of larger numbers, which cancel.
fn gradient_made_of(draw: &Draw, mode: Mode, place: usize, want: &[f64], scale: f64) -> Option<Vec<f64>> {
    let (case, _) = draw.case()?;
    let upstream = case.upstream.to_dtype(Dtype::F32).ok()?;
    let upstream = upstream.as_slice::<f32>()?.iter().map(|g| f64::from(g.abs()));
    match draw.flavour.loss {
        // g_c - p_c Σ g, of the upstream gradient without its signs.
        "log_softmax" => {
            let without = truth(draw, mode, |case| change_all(&mut case.upstream, f32::abs))?;
            let sizes = upstream.zip(without.get(place)?);
            Some(sizes.map(|(g, own)| 2.0 * g - own).collect())
        }
        // The difference of two numbers up to 1, times the row's factor.
        "triplet_margin" => {
            let cols = want.len() / upstream.len().max(1);
            Some(upstream.flat_map(|g| vec![2.0 * scale * g; cols]).collect())
        }
        _ => None,
    }
}

/// The sum of the sizes of the losses, as the result is scaled.
fn sum_of_sizes(draw: &Draw, scale: f64) -> Option<f64> {
    let single = Draw {
        flavour: Flavour {
            reduction: Reduction::None,
            ..draw.flavour.clone()
        },
        ..draw.clone()
    };
    let sizes = match made_of(&single) {
        Some(sizes) => sizes,
        None => sizes(truth(&single, Mode::Forward, |_| {})?.first()?),
    };
    Some(sizes.iter().sum::<f64>() * scale.abs())
}

pub fn judge(draw: &Draw, case: &Case, mode: Mode, engine: &Engine, tuning: &Tuning) -> Result<Vec<Judged>, Error> {
    let call = case.call(mode);
    let problem = case.loss.problem(&call)?;
    let got = case.loss.run(engine, &call)?.read(engine)?;
    let want = reference::run(case.loss.as_ref(), &call)?;
    let depth = precision::loss_depth(&problem, &engine.plan_limits().unwrap(), tuning)?;
    let mut list: Vec<Judged> = Vec::new();
    let mut add = |name: String, array: wgloss::Array, want: &[f64], sizes: Vec<f64>| {
        list.push(Judged {
            name: format!("{}: {name}", case.what),
            dtype: array.dtype,
            got: array.data,
            want: want.to_vec(),
            allowed: sizes.iter().map(|&size| precision::bound(size, depth)).collect(),
        });
    };
    let scale = match problem.divisor {
        Divisor::Known(_) | Divisor::Given(_) => problem.static_scale(),
        Divisor::Counted if want.control.weight == 0.0 => 0.0,
        Divisor::Counted => 1.0 / f64::from(want.control.weight),
    };
    if let Some(loss) = got.loss {
        let made_of = match problem.is_reduced() {
            true => sum_of_sizes(draw, scale).map(|size| vec![size]),
            false => made_of(draw),
        };
        add(
            "loss".into(),
            loss,
            &want.loss,
            made_of.unwrap_or_else(|| sizes(&want.loss)),
        );
    }
    let grads = got.grad_input.into_iter().map(|grad| (Role::Grad(0), grad));
    let others = got.grads.into_iter().map(|(role, grad)| {
        let place = problem.operands.iter().position(|own| own.role == role).unwrap();
        (Role::Grad(place as u8), grad)
    });
    for (nth, (role, grad)) in grads.chain(others).enumerate() {
        let want = want.grad(role).unwrap_or_default();
        let place = nth + usize::from(mode.wants_loss());
        let made_of = gradient_made_of(draw, mode, place, want, scale);
        add(format!("{role:?}"), grad, want, made_of.unwrap_or_else(|| sizes(want)));
    }
    for (name, array, want) in [("lse", got.lse, want.lse), ("entropy", got.entropy, want.entropy)] {
        if let Some(array) = array {
            add(name.into(), array, &want, sizes(&want));
        }
    }
    Ok(list)
}
