//! Calls of any loss of the registry, made from its catalogue entry: data that the kinds of its operands allow, in
//! shapes that it takes. A loss that is added comes up in every test that sweeps.

use wgloss::{Call, Dtype, Info, Loss, Mode, OperandKind, Reduction, Role, Scalar, ScalarKind, Stats, Tensor};

use super::data::{Data, Wild, row_shape};

/// Options by name.
pub type Setting = Vec<(&'static str, Scalar)>;

/// What to make.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Of the first tensor, or of the logits of a layer.
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    /// Of the other floats and of the upstream gradient.
    pub other: Dtype,
    /// Of class targets.
    pub labels: Dtype,
    /// A probability for each class where a loss takes either.
    pub full: bool,
    /// The optional tensors are given.
    pub given: bool,
    /// Where rows have statistics, these have upstream gradients.
    pub of_stats: bool,
    pub reduction: Reduction,
    pub setting: Setting,
    pub style: Style,
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Style {
    /// Only shapes and dtypes matter.
    Zeros,
    /// Outliers among them.
    Hard,
    /// Hard ones, and among them numbers at the ends of what an operand may hold.
    Wild(Wild),
    /// Multiples of 1/64 of moderate size, which can be moved by less without rounding.
    Coarse,
}

impl Setup {
    pub fn new(shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            dtype: Dtype::F32,
            other: Dtype::F32,
            labels: Dtype::I64,
            full: false,
            given: false,
            of_stats: false,
            reduction: Reduction::None,
            setting: Vec::new(),
            style: Style::Hard,
            seed: 1,
        }
    }
}

/// A call that a loss takes.
#[derive(Debug)]
pub struct Case {
    pub what: String,
    pub loss: Box<dyn Loss>,
    pub tensors: Vec<Tensor>,
    /// Random, of the loss's shape.
    pub upstream: Tensor,
    /// Of the log-sum-exp and of the entropy.
    pub of_stats: Option<[Tensor; 2]>,
    /// The other tensors that have gradients.
    pub grads: Vec<Role>,
    pub stats: Stats,
    /// Some gradient exists.
    pub differentiable: bool,
}

impl Case {
    /// All gradients, the upstream gradient and the statistics.
    pub fn call(&self, mode: Mode) -> Call<'_> {
        Call {
            grad_output: mode.wants_grad().then_some(&self.upstream),
            grad_lse: self.of_stats.as_ref().filter(|_| mode.wants_grad()).map(|own| &own[0]),
            grad_entropy: self.of_stats.as_ref().filter(|_| mode.wants_grad()).map(|own| &own[1]),
            grads: if mode.wants_grad() {
                self.grads.clone()
            } else {
                Vec::new()
            },
            stats: self.stats,
            ..Call::new(mode, &self.tensors.iter().collect::<Vec<_>>())
        }
    }

    /// The tensor of a role, which the call or the loss has.
    pub fn operand(&self, role: Role) -> &Tensor {
        let signature = self.loss.info().operands.iter().map(|own| own.role).zip(&self.tensors);
        let mut all = signature.chain(self.loss.tensors());
        let own = all.find(|(own, _)| *own == role).map(|(_, tensor)| tensor);
        own.unwrap_or_else(|| panic!("{}: no {role:?}", self.what))
    }

    /// The most that the case has: loss and gradients, or a function without any.
    pub fn most(&self) -> Mode {
        if self.differentiable {
            Mode::Fused
        } else {
            Mode::Forward
        }
    }
}

/// The options of a loss that are worth a run: each value of the list below by itself, and pairs of them; all
/// combinations, where they are few. The default comes first. Some may be refused.
pub fn settings(info: &Info) -> Vec<Setting> {
    let others: Vec<(&'static str, Vec<Scalar>)> =
        info.options.iter().map(|o| (o.name, values(o.name, o.kind))).collect();
    let product: usize = others.iter().map(|(_, values)| values.len() + 1).product();
    let mut list: Vec<Setting> = vec![Vec::new()];
    for (name, values) in &others {
        for so_far in list.clone() {
            if product <= 64 || so_far.len() < 2 {
                list.extend(values.iter().map(|value| {
                    let mut setting = so_far.clone();
                    setting.push((name, value.clone()));
                    setting
                }));
            }
        }
    }
    list
}

/// The options that give every row a loss: a dimension, where a loss takes everything as one row without.
pub fn by_rows(info: &Info) -> Setting {
    let open = |o: &&wgloss::OptionInfo| o.name == "dim" && (o.default)().is_none();
    info.options
        .iter()
        .filter(open)
        .map(|o| (o.name, Scalar::Int(1)))
        .collect()
}

fn values(name: &str, kind: ScalarKind) -> Vec<Scalar> {
    let floats = |list: &[f64]| list.iter().map(|&x| Scalar::Float(x)).collect();
    match (name, kind) {
        (_, ScalarKind::Bool) => vec![Scalar::Bool(true), Scalar::Bool(false)],
        (_, ScalarKind::Choice(words)) => words[1..].iter().map(|word| Scalar::Choice((*word).into())).collect(),
        (_, ScalarKind::Ints) => vec![Scalar::Int(0), Scalar::Int(1), Scalar::Ints(vec![-1, 0])],
        ("dim", _) => [0, 1].map(Scalar::Int).to_vec(),
        ("p", ScalarKind::Int) => vec![Scalar::Int(2)],
        (_, ScalarKind::Int) => vec![Scalar::Int(1)],
        ("p", _) => floats(&[1.0, 3.5, f64::INFINITY]),
        ("gamma", _) => floats(&[0.0, 0.5]),
        ("alpha", _) => floats(&[-1.0]),
        ("beta", _) => floats(&[0.0, 0.3]),
        ("softcap", _) => floats(&[5.0]),
        // What is left out has a bound of its own: tests/filter.rs.
        ("filter_eps", _) => floats(&[1e-30]),
        ("denominator", _) => floats(&[7.5]),
        (_, ScalarKind::Float) => floats(&[0.1]),
    }
}

/// The loss of a setup, without tensors; `None` where it refuses the options.
fn loss_of(info: &Info, setup: &Setup) -> Option<Box<dyn Loss>> {
    let mut loss = (info.new)();
    if !info.reductions.contains(&setup.reduction) {
        return None;
    }
    loss.set_reduction(setup.reduction);
    for (name, value) in &setup.setting {
        loss.set(name, value).unwrap();
    }
    loss.check().ok()?;
    Some(loss)
}

/// Of the rows of a layer's input.
const FEATURES: usize = 6;
const MOST_HEADS: usize = 64;

/// The input of a layer whose logits have a shape.
fn layer_input(logits: &[usize]) -> Vec<usize> {
    let rows = &logits[..usize::from(logits.len() > 1)];
    [rows, &[FEATURES]].concat()
}

/// The call of a setup; `None` where the loss does not take the shape, the options or the reduction.
pub fn make(info: &Info, setup: &Setup) -> Option<Case> {
    let mut loss = loss_of(info, setup)?;
    let shape = &setup.shape;
    let rows = if shape.is_empty() { Vec::new() } else { row_shape(shape) };
    let last = shape.split_last().map_or(&[][..], |(_, rest)| rest).to_vec();
    let cols = shape.get(usize::from(shape.len() > 1)).map_or(Vec::new(), |&n| vec![n]);
    let layer = info.operands.iter().any(|own| own.role == Role::LinearWeight);
    // The rows of a place of a head lie apart in its matrix, and small limits do not reach far.
    if layer && shape.iter().skip(2).product::<usize>() > MOST_HEADS {
        return None;
    }
    let first = match layer {
        true => layer_input(shape),
        false => shape.clone(),
    };
    // The classes and the places of a head.
    let lines = shape[usize::from(shape.len() > 1)..].to_vec();
    let is_index = |kind| match kind {
        OperandKind::Index | OperandKind::IndexList => true,
        OperandKind::IndexOrDistribution => !setup.full,
        _ => false,
    };
    let places: Vec<Vec<Vec<usize>>> = info.operands[1..]
        .iter()
        .map(|own| match own.kind {
            _ if own.role == Role::LinearWeight => vec![[&lines[..], &[FEATURES]].concat()],
            OperandKind::Index => vec![rows.clone()],
            OperandKind::IndexOrDistribution if !setup.full => vec![rows.clone()],
            _ => vec![shape.clone(), last.clone()],
        })
        .chain(info.tensors.iter().filter(|_| setup.given).map(|own| match own.role {
            Role::SampleWeight => vec![rows.clone()],
            Role::LinearBias => vec![lines.clone()],
            // Every other time the whole shape, where it may be.
            _ if setup.seed % 2 == 1 => vec![shape.clone(), cols.clone()],
            _ => vec![cols.clone(), shape.clone()],
        }))
        .collect();
    let operands = info.operands.len();
    let logs = |kind| match kind {
        OperandKind::Rate => option(info, setup, "log_input"),
        _ => option(info, setup, "log_target"),
    };
    // The first shapes that the loss takes.
    let mut chosen = None;
    let combinations: usize = places.iter().map(Vec::len).product();
    for n in 0..combinations {
        let mut rest = n;
        let shapes: Vec<Vec<usize>> = std::iter::once(first.clone())
            .chain(places.iter().map(|list| {
                let own = list[rest % list.len()].clone();
                rest /= list.len();
                own
            }))
            .collect();
        let dtype = |n: usize| match n {
            0 => setup.dtype,
            n if n < operands && is_index(info.operands[n].kind) => setup.labels,
            _ => setup.other,
        };
        let blanks: Vec<Tensor> = shapes
            .iter()
            .enumerate()
            .map(|(n, shape)| blank(dtype(n), shape))
            .collect();
        let mut dummy = loss_of(info, setup)?;
        for (own, tensor) in info.tensors.iter().zip(&blanks[operands..]) {
            dummy.attach(own.role, tensor.clone()).unwrap();
        }
        let tensors: Vec<&Tensor> = blanks[..operands].iter().collect();
        if let Ok(problem) = dummy.problem(&Call::new(Mode::Forward, &tensors)) {
            chosen = Some((shapes, problem.loss_shape().to_vec(), problem.terms, blanks));
            break;
        }
    }
    let (shapes, loss_shape, terms, blanks) = chosen?;
    let mut data = Data::new(setup.seed);
    let mut made = Vec::new();
    for (n, shape) in shapes.iter().enumerate() {
        let own = info.operands.get(n);
        made.push(match own {
            _ if setup.style == Style::Zeros => blanks[n].clone(),
            Some(own) if is_index(own.kind) => {
                let ignore = info.options.iter().find(|o| o.name == "ignore_index").map(|_| {
                    let set = setup.setting.iter().find(|(name, _)| *name == "ignore_index");
                    match set {
                        Some((_, Scalar::Int(index))) => *index,
                        _ => -100,
                    }
                });
                let ignores_all = setup.style == Style::Wild(Wild::Zeros);
                labels(&mut data, own.kind, setup, shape, ignore, ignores_all)
            }
            _ => {
                let kind = own.map_or(OperandKind::Variance, |own| own.kind);
                let dtype = if n == 0 { setup.dtype } else { setup.other };
                // Of outliers, logits would come that f32 has few digits of.
                let style = match setup.style {
                    Style::Hard if layer && kind == OperandKind::Real => Style::Coarse,
                    own => own,
                };
                let mut numbers = floats(&mut data, kind, style, shape.iter().product(), logs(kind));
                if let (Style::Wild(wild), Some(own)) = (setup.style, own) {
                    data.make_wild(&mut numbers, own.kind, wild, logs(kind), dtype);
                }
                Tensor::new(&numbers, shape).unwrap().to_dtype(dtype).unwrap()
            }
        });
    }
    for (own, tensor) in info.tensors.iter().zip(&made[operands..]) {
        loss.attach(own.role, tensor.clone()).unwrap();
    }
    made.truncate(operands);
    let mut upstream = |shape: &[usize]| match setup.style {
        Style::Zeros => blank(setup.other, shape),
        style => {
            let style = if matches!(style, Style::Wild(_)) {
                Style::Hard
            } else {
                style
            };
            let numbers = floats(&mut data, OperandKind::Real, style, shape.iter().product(), false);
            Tensor::new(&numbers, shape).unwrap().to_dtype(setup.other).unwrap()
        }
    };
    let of_loss = upstream(&loss_shape);
    let of_stats = (setup.of_stats && info.statistics).then(|| [upstream(&terms), upstream(&terms)]);
    let differs =
        |(own, tensor): (&wgloss::OperandInfo, &Tensor)| (own.grad && tensor.dtype().is_float()).then_some(own.role);
    let mut grads: Vec<Role> = info.operands[1..].iter().zip(&made[1..]).filter_map(differs).collect();
    let optional = info.tensors.iter().filter(|own| setup.given && own.grad);
    grads.extend(optional.map(|own| own.role));
    let mut case = Case {
        what: format!(
            "{} {:?} {}{} {} {:?}{}{}",
            info.name,
            setup.shape,
            setup.dtype,
            if setup.other == setup.dtype {
                String::new()
            } else {
                format!("/{}", setup.other)
            },
            setup.reduction.name(),
            setup.setting,
            match (setup.given, setup.of_stats) {
                (false, false) => "",
                (true, false) => " given",
                (false, true) => " of statistics",
                (true, true) => " given, of statistics",
            },
            if info.operands.len() > 1 {
                format!(" target {}", made.last().unwrap().dtype())
            } else {
                String::new()
            },
        ),
        loss,
        tensors: made,
        upstream: of_loss,
        of_stats,
        grads,
        stats: Stats::default(),
        differentiable: true,
    };
    case.differentiable = case.loss.problem(&case.call(Mode::Fused)).is_ok();
    Some(case)
}

/// A boolean option as it is set, or its default.
fn option(info: &Info, setup: &Setup, name: &str) -> bool {
    let set = setup
        .setting
        .iter()
        .rev()
        .find(|(own, _)| *own == name)
        .map(|(_, value)| value.clone());
    let default = || info.options.iter().find(|o| o.name == name).and_then(|o| (o.default)());
    set.or_else(default) == Some(Scalar::Bool(true))
}

pub fn blank(dtype: Dtype, shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    match dtype {
        Dtype::U8 => Tensor::new(&vec![0u8; len], shape),
        Dtype::I32 => Tensor::new(&vec![0i32; len], shape),
        Dtype::U32 => Tensor::new(&vec![0u32; len], shape),
        Dtype::I64 => Tensor::new(&vec![0i64; len], shape),
        Dtype::F32 => Tensor::new(&vec![0f32; len], shape),
        Dtype::F16 => Tensor::new(&vec![half::f16::ZERO; len], shape),
        Dtype::Bf16 => Tensor::new(&vec![half::bf16::ZERO; len], shape),
    }
    .unwrap()
}

/// Class indices in a dtype; -100 and -1 stay out of unsigned ones.
fn labels(
    data: &mut Data,
    kind: OperandKind,
    setup: &Setup,
    shape: &[usize],
    ignore: Option<i64>,
    ignores_all: bool,
) -> Tensor {
    let cols = setup.shape[usize::from(setup.shape.len() > 1)];
    // A u8 has no larger class.
    let classes = if setup.labels == Dtype::U8 {
        cols.min(256)
    } else {
        cols.max(1)
    };
    let signed = matches!(setup.labels, Dtype::I32 | Dtype::I64);
    let ignore = ignore.filter(|&i| signed || i >= 0);
    let mut all = data.labels(shape.iter().product(), classes, ignore);
    if let Some(ignore) = ignore.filter(|_| ignores_all) {
        all.fill(ignore);
    }
    if kind == OperandKind::IndexList && signed {
        // Lists of different lengths, one of them empty, with something behind their ends.
        for (row, list) in all.chunks_mut(cols).enumerate() {
            let end = (row * 5) % (cols + 1);
            if end < cols {
                list[end] = -1;
            }
        }
    }
    label_tensor(&all, setup.labels, shape)
}

/// Labels in a dtype, as `as` has them.
pub fn label_tensor(labels: &[i64], dtype: Dtype, shape: &[usize]) -> Tensor {
    match dtype {
        Dtype::U8 => Tensor::new(&labels.iter().map(|&l| l as u8).collect::<Vec<_>>(), shape),
        Dtype::I32 => Tensor::new(&labels.iter().map(|&l| l as i32).collect::<Vec<_>>(), shape),
        Dtype::U32 => Tensor::new(&labels.iter().map(|&l| l as u32).collect::<Vec<_>>(), shape),
        _ => Tensor::new(labels, shape),
    }
    .unwrap()
}

/// Numbers that an operand of a kind may hold.
fn floats(data: &mut Data, kind: OperandKind, style: Style, n: usize, logs: bool) -> Vec<f32> {
    let coarse = style == Style::Coarse;
    let real = |data: &mut Data| {
        let x = data.logits(n);
        if coarse {
            x.iter().map(|x| x.clamp(-3.0, 3.0)).collect()
        } else {
            x
        }
    };
    let all = match kind {
        OperandKind::Real | OperandKind::Logit => real(data),
        OperandKind::LogProbability => real(data).iter().map(|x| -x.abs()).collect(),
        OperandKind::MaybeLogProbability | OperandKind::Rate if logs => real(data).iter().map(|x| -x.abs()).collect(),
        OperandKind::UnitInterval | OperandKind::MaybeLogProbability | OperandKind::IndexOrDistribution => {
            if coarse {
                data.uniform(n, 0.2, 0.8)
            } else {
                data.targets(n)
            }
        }
        OperandKind::Rate | OperandKind::Variance => data.uniform(n, 0.25, 3.0),
        OperandKind::Count => data.uniform(n, 0.0, 9.0).iter().map(|x| x.floor()).collect(),
        OperandKind::Sign => data.logits(n).iter().map(|x| x.signum()).collect(),
        OperandKind::Index | OperandKind::IndexList => unreachable!("not floats"),
    };
    if coarse {
        all.iter().map(|x: &f32| (x * 64.0).round() / 64.0).collect()
    } else {
        all
    }
}

/// The dtypes of the first tensor and of the others.
pub const DTYPES: [(Dtype, Dtype); 5] = [
    (Dtype::F32, Dtype::F32),
    (Dtype::F16, Dtype::F16),
    (Dtype::F16, Dtype::F32),
    (Dtype::Bf16, Dtype::Bf16),
    (Dtype::Bf16, Dtype::F32),
];
