//! The size of the numbers that a result is made of: the error of f32 is relative to that.

use std::borrow::Cow;

use super::subject::{Subject, Truth, map};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::precision::sum_depth;
use crate::problem::{Divisor, Family, Operand};
use crate::tensor::Tensor;
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::{ReduceOp, Role};

/// The size of numbers that are made of numbers like themselves: their own, and, where that is less than 1, that of the
/// largest.
fn sizes(want: &[f64]) -> Vec<f64> {
    let finite = want.iter().filter(|x| x.is_finite());
    let floor = finite.fold(0.0f64, |most, x| most.max(x.abs())).min(1.0);
    want.iter().map(|x| x.abs() + floor).collect()
}

/// The sizes of a result's numbers.
pub(super) fn of(subject: &Subject<'_>, role: Role, truth: &Truth) -> Result<Vec<f64>> {
    let want = truth.of(role);
    let special = match role {
        Role::Loss | Role::ZLoss if subject.problem.is_reduced() => Some(vec![reduced(subject, role, truth)?]),
        Role::Loss => loss(subject)?,
        // A square: an error of the log-sum-exp counts twice.
        Role::ZLoss => Some(sizes(want).iter().map(|size| 2.0 * size).collect()),
        Role::Grad(place) => gradient(subject, usize::from(place), want, scale(subject, truth))?,
        _ => None,
    };
    Ok(special.unwrap_or_else(|| sizes(want)))
}

/// The reduction's factor.
fn scale(subject: &Subject<'_>, truth: &Truth) -> f64 {
    match subject.problem.divisor {
        Divisor::Known(_) | Divisor::Given(_) => subject.problem.static_scale(),
        Divisor::Counted if truth.control.weight == 0.0 => 0.0,
        Divisor::Counted => 1.0 / f64::from(truth.control.weight),
    }
}

/// The sum of the sizes of the losses, as the result is scaled.
fn reduced(subject: &Subject<'_>, role: Role, truth: &Truth) -> Result<f64> {
    let single = subject.unreduced();
    let each = single.truth()?;
    if role == Role::ZLoss {
        // Squares, which do not cancel: the result is as large as they are, however it is scaled.
        return Ok(2.0 * truth.of(role).iter().map(|own| 2.0 * own.abs()).sum::<f64>());
    }
    let each = match loss(&single)? {
        Some(own) => own,
        None => sizes(each.of(role)),
    };
    Ok(each.iter().sum::<f64>() * scale(subject, truth).abs())
}

/// The size of unreduced losses that are made of larger numbers, which cancel.
fn loss(subject: &Subject<'_>) -> Result<Option<Vec<f64>>> {
    match subject.problem.name {
        // The columns without their signs.
        "reduce" if adds(subject) => {
            let without = subject.changed(|_, _, x| x.abs())?;
            Ok(Some(sizes(&without.truth()?.take(Role::Loss))))
        }
        "triplet_margin" => triplet_distances(subject).map(Some),
        _ => Ok(None),
    }
}

fn adds(subject: &Subject<'_>) -> bool {
    let own = [ReduceOp::Sum, ReduceOp::Mean].map(ReduceOp::name);
    subject
        .problem
        .rows()
        .is_some_and(|rows| own.contains(&rows.kind.as_str()))
}

/// The distances of a triplet's rows: each is the loss where the other is that of a row from itself.
fn triplet_distances(subject: &Subject<'_>) -> Result<Vec<f64>> {
    let single = subject.unreduced();
    let mut sum = vec![1.0; single.problem.term_count() as usize];
    let [a, b, c] = [Role::Anchor, Role::Positive, Role::Negative];
    for ends in [[a, b, a], [a, c, a], [b, c, b]] {
        let mut own = single.clone();
        for (role, from) in [a, b, c].into_iter().zip(ends) {
            single
                .tensor(from)
                .into_iter()
                .for_each(|tensor| own.put(role, tensor.clone()));
        }
        let distance = own.truth()?.take(Role::Loss);
        sum.iter_mut().zip(distance).for_each(|(sum, own)| *sum += own);
    }
    Ok(sum)
}

/// The size of a gradient that is made of larger numbers, which cancel.
fn gradient(subject: &Subject<'_>, place: usize, want: &[f64], scale: f64) -> Result<Option<Vec<f64>>> {
    let operand = &subject.problem.operands[place];
    if is_spread(subject, operand) {
        let each = spread(subject, place)?;
        return Ok(Some(gathered(&subject.problem.terms, &operand.view, &sizes(&each))));
    }
    let upstream = match subject.tensor(Role::GradOutput) {
        Some(tensor) => numbers(tensor)?,
        None => vec![1.0],
    };
    // One stands for all.
    let each = |n: usize| (0..n).map(|i| f64::from(upstream[i % upstream.len().max(1)].abs()));
    if !subject.problem.grad_stats.is_empty() && place == 0 {
        return with_stats(subject).map(Some);
    }
    Ok(match subject.problem.name {
        // g_c - p_c Σ g, of the upstream gradient without its signs.
        "log_softmax" => {
            let mut without = subject.clone();
            if let Some(own) = subject.tensor(Role::GradOutput) {
                without.put(Role::GradOutput, map(own, |_, g| g.abs())?);
            }
            let pulls = without.truth()?.take(Role::Grad(0));
            Some(each(pulls.len()).zip(pulls).map(|(g, own)| 2.0 * g - own).collect())
        }
        // The difference of two numbers up to 1, times the row's factor.
        "triplet_margin" => {
            let rows = subject.problem.term_count() as usize;
            let cols = want.len() / rows.max(1);
            Some(each(rows).flat_map(|g| vec![2.0 * scale.abs() * g; cols]).collect())
        }
        _ => None,
    })
}

/// The sizes of a gradient of the loss and of rows' statistics, which may cancel: of each by itself. That of an entropy
/// H, p (step - h) where 0 <= h <= H, is made of two numbers, of which one is at most p H and the other at most the
/// sum.
fn with_stats(subject: &Subject<'_>) -> Result<Vec<f64>> {
    let alone = |role: Option<Role>| {
        let mut own = subject.clone();
        own.problem.grad_stats.retain(|(given, _)| Some(*given) == role);
        if role.is_some() {
            own.problem.grad_output = Some(View::contiguous(Dtype::F32, &[]));
            own.operands.retain(|(given, _)| *given != Role::GradOutput);
            let nothing = Tensor::new(&[0.0f32], &[])?;
            own.operands.push((Role::GradOutput, Cow::Owned(nothing)));
        }
        Ok::<_, Error>(own)
    };
    let mut sum = vec![0.0; subject.problem.input().len() as usize];
    let mut add = |own: &Subject<'_>| {
        let grad = own.truth()?.take(Role::Grad(0));
        sum.iter_mut().zip(grad).for_each(|(sum, own)| *sum += own.abs());
        Ok::<_, Error>(())
    };
    add(&alone(None)?)?;
    for (role, view) in &subject.problem.grad_stats {
        let own = alone(Some(*role))?;
        add(&own)?;
        if *role == Role::GradEntropy {
            let mut bound = own.clone();
            bound.problem.stats.entropy = true;
            let entropy = bound.truth()?.take(Role::Entropy);
            let given = subject.tensor(*role).map(numbers).transpose()?.unwrap_or_default();
            let both = given.iter().zip(&entropy);
            let numbers: Vec<f32> = both.map(|(g, entropy)| 2.0 * g.abs() * *entropy as f32).collect();
            bound.operands.retain(|(given, _)| given != role);
            let tensor = Tensor::new(&numbers, &view.shape)?;
            bound.operands.push((Role::GradLse, Cow::Owned(tensor)));
            bound.problem.grad_stats = vec![(Role::GradLse, View::contiguous(Dtype::F32, &view.shape))];
            add(&bound)?;
        }
    }
    Ok(sizes(&sum))
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor
        .to_dtype(Dtype::F32)?
        .as_slice::<f32>()
        .unwrap_or_default()
        .to_vec())
}

/// An operand of elements is smaller than the terms, to which it broadcasts: its gradient is a sum.
fn is_spread(subject: &Subject<'_>, operand: &Operand) -> bool {
    matches!(subject.problem.family, Family::Elements(_)) && operand.view.len() != subject.problem.term_count()
}

/// Roundings on the longest way through the sum of such a gradient, beyond those of the loss.
pub(super) fn spread_depth(subject: &Subject<'_>, role: Role, tuning: &Tuning) -> u32 {
    let Role::Grad(place) = role else { return 0 };
    let operand = &subject.problem.operands[usize::from(place)];
    match is_spread(subject, operand) {
        true => sum_depth(subject.problem.term_count() / operand.view.len().max(1), 4, tuning),
        false => 0,
    }
}

/// The gradient of such an operand where each term has one of its own.
fn spread(subject: &Subject<'_>, place: usize) -> Result<Vec<f64>> {
    let mut own = subject.clone();
    let terms = own.problem.terms.clone();
    let operand = &mut own.problem.operands[place];
    let (role, view) = (operand.role, operand.view.clone());
    operand.view = View::contiguous(Dtype::F32, &terms);
    operand.grad = Some(operand.view.clone());
    let narrow = subject.tensor(role).map(numbers).transpose()?.unwrap_or_default();
    let wide: Vec<f32> = places(&terms, &view).map(|place| narrow[place]).collect();
    own.put(role, Tensor::new(&wide, &terms)?);
    Ok(own.truth()?.take(Role::Grad(place as u8)))
}

/// The sums of what belongs to each element of a view that broadcasts to a shape.
fn gathered(shape: &[usize], view: &View, each: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; view.len() as usize];
    places(shape, view)
        .zip(each)
        .for_each(|(place, own)| sums[place] += own);
    sums
}

/// Where each element of a shape lies in a view that broadcasts to it.
fn places(shape: &[usize], view: &View) -> impl Iterator<Item = usize> {
    let strides = View::contiguous(view.dtype, &view.shape).strides();
    let ahead = shape.len() - view.shape.len().min(shape.len());
    // Size and stride of each dimension, the innermost first.
    let dims: Vec<(usize, usize)> = (0..shape.len())
        .rev()
        .map(|dim| {
            let own = dim.checked_sub(ahead).filter(|&own| view.shape[own] > 1);
            (shape[dim], own.map_or(0, |own| strides[own] as usize))
        })
        .collect();
    (0..shape.iter().product()).map(move |mut index: usize| {
        let mut place = 0;
        for (size, stride) in &dims {
            place += index % size * stride;
            index /= size;
        }
        place
    })
}
