//! What lies at the ends: finite numbers that masks are filled with, infinities, and tensors of nothing.

use wgloss::problem::Family;
use wgloss::{Dtype, Info, Mode, OperandKind, Reduction, Scalar, ScalarKind};
use wgloss_bench::fit;

use super::case::{Case, Form};
use super::data::Data;
use super::flavour::{Flavour, grid};
use super::plans::Plan;
use crate::parts;

/// What some of a case's numbers are instead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extreme {
    /// The ends of the dtype and their halves, of either sign.
    Ends,
    /// Those of one sign: between logits of both, a difference may be beyond f32.
    Lowest,
    Highest,
    Infinite,
}

impl Extreme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ends => "ends",
            Self::Lowest => "lowest",
            Self::Highest => "highest",
            Self::Infinite => "infinite",
        }
    }

    /// Puts such numbers among those of an operand.
    pub fn apply(self, numbers: &mut [f32], kind: OperandKind, dtype: Dtype, data: &mut Data) {
        let is_log = kind == OperandKind::LogProbability;
        if !is_log && !matches!(kind, OperandKind::Logit | OperandKind::Real) {
            return;
        }
        for x in numbers {
            let size = match self {
                Self::Infinite if data.below(8) == 0 => f32::INFINITY,
                Self::Infinite => continue,
                _ if data.flip() => continue,
                _ => most(dtype) * data.pick(&[1.0, 0.5, 0.500_1, 0.3]),
            };
            let is_low = match self {
                Self::Lowest => true,
                Self::Highest => false,
                Self::Ends | Self::Infinite => data.flip(),
            };
            *x = if is_low || is_log { -size } else { size };
        }
    }
}

/// The largest finite number.
fn most(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F16 => half::f16::MAX.to_f32(),
        Dtype::Bf16 => half::bf16::MAX.to_f32(),
        _ => f32::MAX,
    }
}

/// Each value of each option by itself, with probability targets, too, and everything that a case may have; of 16-bit
/// dtypes, whose arithmetic is that of f32, the default alone.
pub fn flavours(info: &'static Info, dtype: Dtype) -> Vec<Flavour> {
    let mut settings: Vec<Vec<(&'static str, Scalar)>> = vec![Vec::new()];
    if dtype == Dtype::F32 {
        for option in info.options {
            let values: Vec<Scalar> = match option.kind {
                ScalarKind::Choice(words) => words.iter().map(|word| Scalar::Choice((*word).into())).collect(),
                ScalarKind::Bool => vec![Scalar::Bool(true)],
                _ => grid(option).into_iter().flatten().collect(),
            };
            for value in values {
                // A probability that f32 does not hold, of a logarithm of it, may be none beside a number at the end.
                if option.name == "log_target" {
                    continue;
                }
                let setting = vec![(option.name, value)];
                if !settings.contains(&setting) {
                    settings.push(setting);
                }
            }
        }
    }
    let flavour = |options: &Vec<(&'static str, Scalar)>, classes| Flavour {
        info,
        dtype,
        mode: Mode::Fused,
        reductions: info.reductions.to_vec(),
        options: options.clone(),
        classes,
        labels: Dtype::I64,
        other: dtype,
        given: Vec::new(),
        grad_output: parts::is_function(info),
        grads: info
            .operands
            .iter()
            .skip(1)
            .filter(|own| own.grad)
            .map(|own| own.role)
            .collect(),
        stats: false,
        broadcasts: false,
        of_stats: false,
    };
    let mut all: Vec<Flavour> = settings.iter().map(|options| flavour(options, true)).collect();
    if info.takes(OperandKind::IndexOrDistribution) {
        all.push(flavour(&settings[0], false));
    }
    all
}

/// Each flavour on extreme numbers, with each loss by itself; the first one on nothing, with each reduction.
pub fn plans(flavours: &[Flavour]) -> Vec<Plan<'_>> {
    let mut plans = Vec::new();
    for flavour in flavours {
        let fits = |shape: &&[usize]| flavour.rule(shape).is_some();
        let shapes: [&[usize]; 2] = [&[32, 5], &[33]];
        let kinds = kinds(flavour.info);
        if let Some(shape) = shapes.into_iter().find(fits) {
            plans.extend(
                kinds
                    .iter()
                    .map(|&kind| Plan::extreme(flavour, Reduction::None, shape, Some(kind))),
            );
        }
    }
    let nothing: [&[usize]; 4] = [&[0], &[0, 3], &[3, 0], &[2, 0, 3]];
    for flavour in flavours.iter().take(1) {
        for shape in nothing.into_iter().filter(|shape| flavour.rule(shape).is_some()) {
            let plan = |&reduction: &Reduction| Plan::extreme(flavour, reduction, shape, None);
            plans.extend(flavour.reductions.iter().map(plan));
        }
    }
    plans
}

/// The extremes that a loss is to be right on. Sums and differences of other numbers than logits may be beyond f32.
fn kinds(info: &Info) -> &'static [Extreme] {
    let is_score = matches!(info.operands[0].kind, OperandKind::Logit | OperandKind::LogProbability);
    match (is_score, fit::is_elementwise(info)) {
        (true, true) => &[Extreme::Ends, Extreme::Infinite],
        (true, false) => &[Extreme::Lowest, Extreme::Highest, Extreme::Infinite],
        (false, _) => &[Extreme::Infinite],
    }
}

/// What a loss is of nothing, said apart from its definition: the mean of nothing is NaN, its sum 0.
pub fn of_nothing(case: &Case) -> Option<f64> {
    let problem = case.with(Form::Stored, |loss, call| loss.problem(call)).ok()?;
    let first = &problem.operands.first()?.view.shape;
    if problem.term_count() > 0 {
        // Means of the columns of a row.
        let is_mean = case.info.name == "multilabel_soft_margin";
        return (is_mean && first.last() == Some(&0)).then_some(f64::NAN);
    }
    let is_loss = !parts::is_function(case.info) && problem.mode.wants_loss();
    match case.reduction {
        Reduction::None => None,
        _ if !is_loss || matches!(problem.family, Family::Rows(_)) && problem.zero_on_empty => None,
        Reduction::Sum => Some(0.0),
        Reduction::BatchMean if first.first() != Some(&0) => Some(0.0),
        Reduction::Mean | Reduction::BatchMean => Some(f64::NAN),
    }
}
