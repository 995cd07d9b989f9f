//! Which cases a loss is checked on, in a dtype.
//!
//! Its flavour says what makes other shader code; everything else varies from case to case at no such cost.

use std::fmt;

use wgloss::problem::Problem;
use wgloss::{Dtype, Mode, OperandKind, Reduction, Result, Role, Scalar, Stats};
use wgloss_bench::fit::{self, TargetShape};

use super::case::{Case, Form, Held};
use super::data::Data;
use super::extremes::{self, Extreme};
use super::flavour::{Flavour, settled};
use super::rows::{Rows, lists};
use crate::parts;

/// What is fixed of a case; all else follows from the seed and the number.
pub struct Plan<'a> {
    number: u64,
    /// Runs whatever it compiles.
    pub required: bool,
    flavour: &'a Flavour,
    reduction: Reduction,
    shape: Vec<usize>,
    extreme: Option<Extreme>,
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flavour = self.flavour;
        let (mode, reduction) = (flavour.mode.name(), self.reduction.name());
        write!(
            f,
            "{} case {} {:?} {reduction} {mode}",
            flavour.dtype, self.number, self.shape
        )?;
        self.extreme.map_or(Ok(()), |own| write!(f, " {}", own.name()))
    }
}

/// Sizes around the widths of lanes, subgroups, workgroups and tiles, a vocabulary, and nothing at all.
fn shapes() -> Vec<Vec<usize>> {
    let flat = [0, 1, 3, 5, 8, 64, 257, 1025, 8193, 100_003].map(|n| vec![n]);
    let rows = [
        [0, 4],
        [1, 1],
        [2, 3],
        [3, 7],
        [5, 8],
        [4, 10],
        [65, 10],
        [1000, 10],
        [2, 33],
        [3, 64],
        [2, 65],
        [3, 127],
        [5, 129],
        [2, 257],
        [65, 257],
        [3, 1000],
        [2, 1003],
        [1, 32_003],
    ];
    let deep: [&[usize]; 7] = [
        &[],
        &[2, 5, 7],
        &[3, 10, 4, 5],
        &[2, 257, 33],
        &[2, 3, 0],
        &[2, 3, 1025],
        &[5, 1, 9],
    ];
    let mut shapes = flat.to_vec();
    shapes.extend(rows.map(Vec::from));
    shapes.extend(deep.map(Vec::from));
    shapes
}

/// One less than a size, the size, and one more.
fn around(sizes: &[usize]) -> impl Iterator<Item = usize> {
    sizes.iter().flat_map(|&n| [n - 1, n, n + 1])
}

/// Every size around those of quads, lanes, workgroups and tiles of either tuning.
fn more_shapes() -> Vec<Vec<usize>> {
    let flat = around(&[8, 32, 256, 512, 2048, 8192, 16_384, 65_536]).map(|n| vec![n]);
    let cols = || around(&[2, 8, 16, 32, 64, 128, 256, 512, 1024, 4096]);
    let mut shapes: Vec<Vec<usize>> = flat.collect();
    for rows in [1, 3, 64] {
        shapes.extend(cols().map(|cols| vec![rows, cols]));
    }
    shapes.extend(around(&[4, 64, 256]).map(|inner| vec![2, 7, inner]));
    shapes.extend([
        vec![255, 5],
        vec![257, 17],
        vec![3, 32_000],
        vec![4097, 3],
        vec![2, 33, 3, 3],
    ]);
    shapes
}

/// All cases: first each mode with each reduction, then the same on other shapes: some, or all that there are; then the
/// extremes.
pub fn plans<'a>(flavours: &'a [Flavour], at_ends: &'a [Flavour], seed: u64, exhaustive: bool) -> Vec<Plan<'a>> {
    let mut plans = Vec::new();
    let mut more = Vec::new();
    for (index, flavour) in flavours.iter().enumerate() {
        let mut lot = Data::new(seed, u64::MAX / 2 - index as u64);
        let all = if exhaustive {
            [shapes(), more_shapes()].concat()
        } else {
            shapes()
        };
        let mut fitting: Vec<_> = all.into_iter().filter(|shape| flavour.rule(shape).is_some()).collect();
        // Not always in the same order, for those in front may compile something.
        for i in 1..fitting.len() {
            fitting.swap(i, lot.below(i + 1));
        }
        let first = fitting
            .iter()
            .find(|shape| shape.iter().product::<usize>() > 1)
            .cloned();
        let plan = |reduction, shape: &[usize], required| Plan {
            number: 0,
            required,
            flavour,
            reduction,
            shape: shape.to_vec(),
            extreme: None,
        };
        for &reduction in &flavour.reductions {
            plans.extend(first.iter().map(|shape| plan(reduction, shape, true)));
        }
        let stride = match flavour.dtype {
            _ if exhaustive => 1,
            Dtype::F32 => 2,
            _ => 3,
        };
        for (i, shape) in fitting.iter().enumerate().step_by(stride) {
            let reduction = flavour.reductions[i / stride % flavour.reductions.len()];
            more.push(plan(reduction, shape, false));
        }
    }
    plans.extend(more);
    plans.extend(extremes::plans(at_ends));
    for (number, plan) in plans.iter_mut().enumerate() {
        plan.number = number as u64;
    }
    plans
}

impl<'a> Plan<'a> {
    pub fn extreme(flavour: &'a Flavour, reduction: Reduction, shape: &[usize], extreme: Option<Extreme>) -> Self {
        Self {
            number: 0,
            required: true,
            flavour,
            reduction,
            shape: shape.to_vec(),
            extreme,
        }
    }
}

impl Plan<'_> {
    /// There is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    pub fn case(&self, seed: u64) -> Result<Case> {
        let flavour = self.flavour;
        let mut data = Data::new(seed, self.number);
        let mut case = Case {
            info: flavour.info,
            text: self.to_string(),
            options: Vec::new(),
            reduction: self.reduction,
            mode: flavour.mode,
            signature: Vec::new(),
            given: Vec::new(),
            grad_output: None,
            of_stats: Vec::new(),
            grads: flavour.grads.clone(),
            stats: Stats::default(),
        };
        self.add_options(&mut case, &mut data);
        self.add_signature(&mut case, &mut data)?;
        self.add_given(&mut case, &mut data)?;
        self.add_grad_output(&mut case, &mut data)?;
        self.add_of_stats(&mut case, &mut data)?;
        // Of class indices, or of an arg-max, there is no gradient.
        if !self.is_taken(&case) {
            case.grads.clear();
        }
        if !self.is_taken(&case) {
            case.mode = Mode::Forward;
        }
        if flavour.stats {
            // Under a soft cap logits may be equal in f32 that are not in f64.
            let capped = |(name, value): &(&str, Scalar)| *name == "softcap" && *value != Scalar::Float(0.0);
            let exact = !case.options.iter().any(capped);
            case.stats = Stats {
                lse: true,
                argmax: exact,
                entropy: true,
                accuracy: exact && flavour.classes,
                z_loss: false,
            };
            case.text += " stats";
        }
        for role in &case.grads {
            case.text += &format!(" grad_{}", role.name());
        }
        Ok(case)
    }

    fn is_taken(&self, case: &Case) -> bool {
        case.with(Form::Stored, |loss, call| loss.problem(call)).is_ok()
    }

    /// The flavour's options, as far as they go together with the reduction, and those that depend on the shape.
    fn add_options(&self, case: &mut Case, data: &mut Data) {
        let rank = self.shape.len().max(1);
        let mut own = self.flavour.options.clone();
        if case.info.options.iter().any(|option| option.name == "dim") && data.below(3) > 0 {
            let dim = data.below(2 * rank) as i64 - rank as i64;
            own.insert(0, ("dim", Scalar::Int(dim)));
        }
        case.options = settled(case.info, self.reduction, &own).1;
        for (name, value) in &case.options {
            case.text += &format!(" {name}={value}");
        }
    }

    fn flag(&self, case: &Case, name: &str) -> bool {
        case.options
            .iter()
            .any(|(own, value)| *own == name && *value == Scalar::Bool(true))
    }

    fn add_signature(&self, case: &mut Case, data: &mut Data) -> Result<()> {
        let (info, flavour) = (case.info, self.flavour);
        let rule = flavour.rule(&self.shape).unwrap_or(TargetShape::Same);
        let mut shapes = fit::shapes(info, &self.shape, rule);
        for place in 1..shapes.len() {
            let own = shapes[place].clone();
            if flavour.broadcasts {
                shapes[place] = broadcast(&own, data);
                let (loss, _) = settled(info, self.reduction, &case.options);
                if !fit::takes(loss.as_ref(), &shapes, flavour.classes) {
                    shapes[place] = own;
                }
            }
            if shapes[place] != shapes[0] {
                case.text += &format!(" {} {:?}", info.operands[place].role.name(), shapes[place]);
            }
        }
        let logs = self.flag(case, "log_target") || self.flag(case, "log_input");
        let spreads = |(name, value): &(&str, Scalar)| *name == "label_smoothing" && *value != Scalar::Float(0.0);
        let spreads = case.options.iter().any(spreads);
        let logits = fit::logits(info, &self.shape);
        let mut rows = Rows::new(info, &logits, flavour.classes, !spreads, data);
        for (place, (own, shape)) in info.operands.iter().zip(&shapes).enumerate() {
            let dtype = if place == 0 { flavour.dtype } else { flavour.other };
            let held = if fit::is_index(own.kind, flavour.classes) {
                let is_list = own.kind == OperandKind::IndexList;
                let labels = match flavour.labels {
                    Dtype::U8 | Dtype::U32 if is_list => Dtype::I64, // lists end with -1
                    labels => labels,
                };
                case.text += &format!(" labels {labels}");
                self.ignore(case, &mut rows.classes, labels, data);
                let all = if is_list {
                    lists(shape, data)
                } else {
                    rows.classes.clone()
                };
                Held::classes(own.role, &all, shape, labels)?
            } else {
                let drawn = |data: &mut Data| -> Vec<f32> {
                    let count: usize = shape.iter().product();
                    (0..count).map(|_| data.number(own.kind, logs)).collect()
                };
                let mut numbers = rows.numbers(place, own).unwrap_or_else(|| drawn(data));
                if let Some(extreme) = self.extreme {
                    extreme.apply(&mut numbers, own.kind, dtype, data);
                }
                Held::floats(own.role, &numbers, shape, dtype)?
            };
            case.signature.push(held);
        }
        Ok(())
    }

    /// Lets some rows be ignored, where the loss has that.
    fn ignore(&self, case: &mut Case, classes: &mut [i64], dtype: Dtype, data: &mut Data) {
        if !case.info.options.iter().any(|option| option.name == "ignore_index") {
            return;
        }
        // A class, or a label that is none; unsigned labels have no negative one.
        let unsigned = matches!(dtype, Dtype::U8 | Dtype::U32);
        let ignored: i64 = data.pick(&[-100, 0, if unsigned { 255 } else { -1 }]);
        case.options.push(("ignore_index", Scalar::Int(ignored)));
        case.text += &format!(" ignore_index={ignored}");
        if !unsigned || ignored >= 0 {
            classes
                .iter_mut()
                .filter(|_| data.below(4) == 0)
                .for_each(|class| *class = ignored);
        }
        // A class that a byte does not hold is none.
        if dtype == Dtype::U8 {
            classes.iter_mut().for_each(|class| *class = (*class).min(255));
        }
    }

    /// Optional tensors, of the first shape that is taken.
    fn add_given(&self, case: &mut Case, data: &mut Data) -> Result<()> {
        let first = &fit::logits(case.info, &self.shape);
        for &role in &self.flavour.given {
            let classes = first.get(fit::class_dim(first)).copied();
            let mut shapes = vec![broadcast(first, data)];
            shapes.extend(classes.map(|n| vec![n]));
            shapes.extend(first.last().map(|&n| vec![n]));
            shapes.extend((!first.is_empty()).then(|| TargetShape::WithoutClasses.shape(first)));
            for shape in shapes {
                let weights = data.weights(shape.iter().product());
                case.given
                    .push(Held::floats(role, &weights, &shape, self.flavour.other)?);
                if self.is_taken(case) {
                    case.text += &format!(" {} {shape:?}", role.name());
                    break;
                }
                case.given.pop();
            }
        }
        Ok(())
    }

    /// What a problem of the case says, in mode forward.
    fn forward<T>(case: &mut Case, say: impl FnOnce(&Problem) -> T) -> Result<T> {
        let mode = std::mem::replace(&mut case.mode, Mode::Forward);
        let grads = std::mem::take(&mut case.grads);
        let said = case.with(Form::Stored, |loss, call| Ok(say(&loss.problem(call)?)));
        (case.mode, case.grads) = (mode, grads);
        said
    }

    /// Of one statistic or both.
    fn add_of_stats(&self, case: &mut Case, data: &mut Data) -> Result<()> {
        if !case.mode.wants_grad() || !self.flavour.of_stats {
            return Ok(());
        }
        let shape = Self::forward(case, |problem| problem.terms.clone())?;
        let both = [Role::GradLse, Role::GradEntropy];
        for &role in data.pick(&[&both[..], &both[..1], &both[1..]]) {
            let numbers = data.normals(shape.iter().product());
            case.text += &format!(" {}", role.name());
            case.of_stats
                .push(Held::floats(role, &numbers, &shape, self.flavour.other)?);
        }
        Ok(())
    }

    fn add_grad_output(&self, case: &mut Case, data: &mut Data) -> Result<()> {
        if !case.mode.wants_grad() || !self.flavour.grad_output {
            return Ok(());
        }
        let shape = Self::forward(case, |problem| problem.loss_shape().to_vec());
        let whole = parts::is_function(case.info) || data.flip();
        let shape = if whole { shape? } else { Vec::new() };
        case.text += &format!(" grad_output {shape:?}");
        let numbers = data.normals(shape.iter().product());
        case.grad_output = Some(Held::floats(Role::GradOutput, &numbers, &shape, self.flavour.other)?);
        Ok(())
    }
}

/// A shape that broadcasts to `shape`: leading dimensions left out, others 1.
fn broadcast(shape: &[usize], data: &mut Data) -> Vec<usize> {
    let skip = data.below(shape.len() + 1);
    shape[skip..]
        .iter()
        .map(|&n| if data.below(3) == 0 { 1 } else { n })
        .collect()
}
