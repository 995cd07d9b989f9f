//! The cases of a loss: every shape with every profile.
//!
//! A profile is what makes other shader code. There are few, because a software adapter compiles for half a second; the
//! seed draws them, so that another seed looks elsewhere. Numbers vary from case to case.

use std::fmt;

use wgloss::{Call, Dtype, Info, Loss, Mode, OptionInfo, Reduction, Result, Scalar, ScalarKind, TargetKind, Tensor};

use super::data::Data;

/// Each reduction with each mode, and once more with loss and gradient together.
const PROFILES: usize = 12;

/// What is fixed of a case; all else follows from the seed and the numbers.
pub struct Plan {
    number: u64,
    profile: usize,
    shape: Vec<usize>,
    reduction: Reduction,
    mode: Mode,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "case {} {:?} {} {}",
            self.number,
            self.shape,
            self.reduction.name(),
            self.mode.name()
        )
    }
}

/// A case ready to run on host tensors.
pub struct Case {
    pub loss: Box<dyn Loss>,
    pub text: String,
    mode: Mode,
    input: Tensor,
    target: Tensor,
    grad_output: Option<Tensor>,
    grad_target: bool,
}

/// Sizes around the widths of lanes, subgroups, workgroups and tiles, a vocabulary, and nothing at all.
fn shapes(info: &Info) -> Vec<Vec<usize>> {
    if info.targets.contains(&TargetKind::Element) {
        let flat = [
            0, 1, 3, 4, 5, 63, 64, 65, 255, 257, 1023, 1025, 8191, 8192, 8193, 100_003,
        ];
        let mut shapes: Vec<Vec<usize>> = flat.iter().map(|&n| vec![n]).collect();
        shapes.extend([
            vec![],
            vec![3, 5],
            vec![7, 33],
            vec![64, 65],
            vec![2, 3, 1025],
            vec![5, 1, 9],
        ]);
        return shapes;
    }
    let cols = [
        1, 2, 3, 7, 8, 10, 31, 32, 33, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 1003, 32_003,
    ];
    let mut shapes: Vec<Vec<usize>> = cols
        .iter()
        .enumerate()
        .map(|(i, &cols)| vec![2 + i % 4, cols])
        .collect();
    shapes.extend([1, 3, 64, 65, 1000].map(|rows| vec![rows, 10]));
    shapes.extend([1, 64, 65].map(|rows| vec![rows, 257]));
    shapes.extend([
        vec![0, 4],
        vec![7],
        vec![2, 5, 7],
        vec![3, 10, 4, 5],
        vec![2, 257, 33],
        vec![1, 1003, 3],
        vec![2, 3, 0],
    ]);
    shapes
}

pub fn plans(info: &Info) -> Vec<Plan> {
    let mut plans = Vec::new();
    for shape in shapes(info) {
        for profile in 0..PROFILES {
            plans.push(Plan {
                number: plans.len() as u64,
                profile,
                shape: shape.clone(),
                reduction: Reduction::ALL[profile % 3],
                mode: [Mode::Fused, Mode::Forward, Mode::Backward][profile / 3 % 3],
            });
        }
    }
    plans
}

/// Values of a scalar option that are worth a look.
fn grid(option: &OptionInfo) -> Vec<f64> {
    match option.name {
        // Not 1: softmax and a flat target may then cancel in a whole tensor, and leave only rounding to compare.
        "label_smoothing" => vec![0.0, 0.0, 0.1, 0.1, 0.5],
        "alpha" => vec![0.25, -1.0, 0.0, 0.5, 1.0],
        "gamma" => vec![2.0, 0.5, 0.0, 1.0, 5.0],
        _ => vec![option.default],
    }
}

impl Case {
    pub fn new(info: &Info, plan: &Plan, seed: u64) -> Result<Self> {
        let mut data = Data::new(seed, plan.number);
        let mut code = Data::new(seed, u64::MAX - plan.profile as u64);
        let mut text = plan.to_string();
        let mut loss = (info.new)();
        loss.set_reduction(plan.reduction);
        let kind = info.targets[plan.profile % info.targets.len()];
        let mut spreads = false; // a target coefficient on every class, also where the logit is -inf
        for option in info.options {
            let value = match (option.name, kind) {
                ("ignore_index", TargetKind::Index) => continue, // chosen with the labels
                // Without smoothing there is less code; of other options only the numbers differ.
                ("label_smoothing", _) => code.pick(&grid(option)),
                _ => data.pick(&grid(option)),
            };
            spreads |= option.name == "label_smoothing" && value > 0.0;
            text += &format!(" {}={value}", option.name);
            loss.set(option.name, scalar(option, value))?;
        }
        let shape = &plan.shape;
        let (input, target) = match kind {
            TargetKind::Element => {
                let n = shape.iter().product();
                let logits: Vec<f32> = (0..n).map(|_| data.logit()).collect();
                let targets: Vec<f32> = (0..n).map(|_| data.target()).collect();
                (Tensor::new(&logits, shape)?, Tensor::new(&targets, shape)?)
            }
            _ => {
                // Not in step with the reductions.
                let dtype = [Dtype::I32, Dtype::U32, Dtype::I64][(plan.profile / 2 + plan.profile / 6) % 3];
                let dtype = (kind == TargetKind::Index).then_some(dtype);
                classes(loss.as_mut(), dtype, shape, !spreads, &mut data, &mut text)?
            }
        };
        for given in info.tensors {
            if code.below(2) == 0 {
                continue;
            }
            let shape = if kind == TargetKind::Element {
                broadcast(shape, &mut data)
            } else {
                vec![class_count(shape)]
            };
            text += &format!(" {} {shape:?}", given.role.name());
            let weights = data.weights(shape.iter().product());
            loss.attach(given.role, Tensor::new(&weights, &shape)?)?;
        }
        let mut case = Self {
            loss,
            text,
            mode: plan.mode,
            input,
            target,
            grad_output: None,
            grad_target: kind == TargetKind::Probability && plan.mode.wants_grad() && code.below(2) == 0,
        };
        if plan.mode.wants_grad() && code.below(2) == 0 {
            let whole = plan.reduction == Reduction::None && data.below(2) == 0;
            let shape = if whole {
                case.loss.problem(&case.call())?.loss_shape()
            } else {
                vec![]
            };
            case.text += &format!(" grad_output {shape:?}");
            case.grad_output = Some(Tensor::new(&data.normals(shape.iter().product()), &shape)?);
        }
        if case.grad_target {
            case.text += " grad_target";
        }
        Ok(case)
    }

    pub fn call(&self) -> Call<'_> {
        Call {
            grad_output: self.grad_output.as_ref(),
            grad_target: self.grad_target,
            ..Call::new(self.mode, &self.input, &self.target)
        }
    }
}

fn scalar(option: &OptionInfo, value: f64) -> Scalar {
    match option.kind {
        ScalarKind::Float => Scalar::Float(value),
        ScalarKind::Int => Scalar::Int(value as i64),
    }
}

fn class_count(shape: &[usize]) -> usize {
    shape.get(1).or(shape.first()).copied().unwrap_or_default()
}

/// A shape that broadcasts to `shape`: leading dimensions left out, others 1.
fn broadcast(shape: &[usize], data: &mut Data) -> Vec<usize> {
    let skip = data.below(shape.len() + 1);
    shape[skip..]
        .iter()
        .map(|&n| if data.below(3) == 0 { 1 } else { n })
        .collect()
}

/// Logits with classes in dimension 1, and for them classes of a dtype, or else probabilities.
fn classes(
    loss: &mut dyn Loss,
    labels_as: Option<Dtype>,
    shape: &[usize],
    impossible: bool,
    data: &mut Data,
    text: &mut String,
) -> Result<(Tensor, Tensor)> {
    let cols = class_count(shape);
    let slabs = if shape.len() > 1 { shape[0] } else { 1 };
    let inner: usize = shape.iter().skip(2).product();
    let mut logits = vec![0f32; slabs * cols * inner];
    let mut probabilities = logits.clone();
    let mut labels = Vec::new();
    for row in 0..slabs * inner {
        let class = data.below(cols);
        let x = data.row(cols, impossible.then_some(class));
        let p = if labels_as.is_none() {
            data.probabilities(&x, class)
        } else {
            Vec::new()
        };
        let at = |c: usize| (row / inner * cols + c) * inner + row % inner;
        x.iter().enumerate().for_each(|(c, &x)| logits[at(c)] = x);
        p.iter().enumerate().for_each(|(c, &p)| probabilities[at(c)] = p);
        labels.push(class as i64);
    }
    let input = Tensor::new(&logits, shape)?;
    let Some(dtype) = labels_as else {
        *text += " probabilities";
        return Ok((input, Tensor::new(&probabilities, shape)?));
    };
    *text += &format!(" labels {dtype}");
    if loss.info().options.iter().any(|option| option.name == "ignore_index") {
        // A class, or a label that is none; unsigned labels have no negative one.
        let choices = if dtype == Dtype::U32 {
            [-100, 0, 255]
        } else {
            [-100, 0, -1]
        };
        let ignored: i64 = data.pick(&choices);
        loss.set("ignore_index", Scalar::Int(ignored))?;
        *text += &format!(" ignore_index={ignored}");
        if dtype != Dtype::U32 || ignored >= 0 {
            labels
                .iter_mut()
                .for_each(|label| *label = if data.below(4) == 0 { ignored } else { *label });
        }
    }
    let mut shape = shape.to_vec();
    shape.remove(usize::from(shape.len() > 1));
    let target = match dtype {
        Dtype::I32 => Tensor::new(&labels.iter().map(|&c| c as i32).collect::<Vec<_>>(), &shape)?,
        Dtype::U32 => Tensor::new(&labels.iter().map(|&c| c as u32).collect::<Vec<_>>(), &shape)?,
        _ => Tensor::new(&labels, &shape)?,
    };
    Ok((input, target))
}
