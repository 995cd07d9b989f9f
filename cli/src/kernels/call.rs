//! A call on tensors that are not there: validated as `compute` and `step` validate theirs, and planned.

use clap::ArgMatches;
use serde_json::{Value, json};
use wgloss::optim::{self, State};
use wgloss::plan::{self, Moved, Plan};
use wgloss::{Call, Dtype, Error, GradTo, Info, Limits, Loss, Mode, OperandInfo, Preset, Role, Stats, Tensor};
use wgloss_bench::fit::{self, TargetShape};
use wgloss_shell::Failure;

use super::arguments::{ADD, IN_PLACE, STATS};
use super::device::Device;
use super::spec::Spec;
use crate::{args, compute, operands, parts, step};

/// A planned call.
pub struct Planned {
    /// `cross_entropy (mean) fused`
    pub name: String,
    /// With their dtypes.
    pub tensors: Vec<Shaped>,
    pub device: Device,
    pub plan: Plan,
    pub least: Vec<Moved>,
    /// Of the first tensor, where class targets may be.
    pub classes: u64,
    planner: Planner,
}

/// Plans a call under limits.
type Planner = Box<dyn Fn(&Limits) -> Result<Plan, Error>>;

/// A tensor that is told of.
pub struct Shaped {
    name: &'static str,
    shape: Vec<usize>,
    dtype: Dtype,
}

impl Planned {
    /// The plan under other limits.
    pub fn plan_for(&self, limits: &Limits) -> Result<Plan, Failure> {
        Ok((self.planner)(limits)?)
    }

    /// `cross_entropy (mean) fused   input [4096, 1000] f32, target [4096] i64`
    pub fn line(&self) -> String {
        let told = |own: &Shaped| format!("{} {:?} {}", own.name, own.shape, own.dtype);
        let all: Vec<String> = self.tensors.iter().map(told).collect();
        format!("{}: {}", self.name, all.join(", "))
    }

    /// What both commands tell of a call.
    pub fn json(&self) -> Value {
        let told = |own: &Shaped| json!({ "name": own.name, "shape": own.shape, "dtype": own.dtype.name() });
        let tensors: Vec<Value> = self.tensors.iter().map(told).collect();
        json!({ "call": self.name, "tensors": tensors, "device": self.device.json() })
    }
}

/// The call that a command line asks for.
pub fn planned(matches: &ArgMatches) -> Result<Planned, Failure> {
    let Some((word, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("a loss or an optimizer is missing; see --help".into()));
    };
    let device = Device::named(matches)?;
    if let Some(info) = optim::find(word) {
        return step(info, matches, device);
    }
    let named = compute::named(word);
    let (info, preset) = named.ok_or_else(|| Failure::Usage(format!("there is no loss or optimizer {word}")))?;
    loss(info, preset, matches, device)
}

fn spec<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a Spec> {
    matches.get_one(name)
}

/// The error, with the argument that the tensor concerned follows from: `target (--target 5): expected shape …`.
fn described(error: &Error, first: &'static str, matches: &ArgMatches) -> Failure {
    let text = error.to_string();
    let Some((name, rest)) = text.split_once(": ") else {
        return Failure::Failed(text);
    };
    let id = if name == first { "shape" } else { name };
    match matches.try_get_one::<Spec>(id) {
        Ok(Some(own)) => Failure::Failed(format!("{name} (--{} {}): {rest}", args::dashed(id), own.text)),
        _ => Failure::Failed(text),
    }
}

/// The tensors of a loss's call.
struct Tensors<'a> {
    info: &'static Info,
    matches: &'a ArgMatches,
    dtype: Dtype,
    first: Vec<usize>,
}

impl<'a> Tensors<'a> {
    fn new(info: &'static Info, matches: &'a ArgMatches) -> Self {
        let first = spec(matches, "shape");
        let of_first = first.and_then(|own| own.dtype).filter(|own| own.is_float());
        Self {
            info,
            matches,
            dtype: args::chosen_dtype(matches).or(of_first).unwrap_or(Dtype::F32),
            first: first.and_then(|own| own.shape.clone()).unwrap_or_default(),
        }
    }

    fn spec(&self, place: usize, own: &OperandInfo) -> Option<&'a Spec> {
        spec(self.matches, if place == 0 { "shape" } else { own.role.name() })
    }

    /// Targets that may be classes are, unless floats are asked for.
    fn has_classes(&self) -> bool {
        let own = self
            .info
            .operands
            .iter()
            .enumerate()
            .find(|(_, own)| own.kind.is_classes());
        let dtype = own.and_then(|(place, own)| self.spec(place, own)?.dtype);
        dtype.is_none_or(|dtype| !dtype.is_float())
    }

    /// Those of the signature. What no argument gives is what goes with the first tensor.
    fn signature(&self, loss: &dyn Loss) -> Result<Vec<Tensor>, Error> {
        let classes = self.has_classes();
        let rule = fit::rule(loss, &self.first, classes).unwrap_or(TargetShape::Same);
        let shapes = fit::shapes(self.info, &self.first, rule);
        let tensor = |(place, (own, fitting)): (usize, (&OperandInfo, Vec<usize>))| {
            let given = self.spec(place, own);
            let usual = match fit::is_index(own.kind, classes) {
                true => Dtype::I64,
                false => self.dtype,
            };
            // A layer's shape, N×H×C, is of none of its tensors.
            let is_layer = place == 0 && fit::is_layer(self.info);
            let shape = given.filter(|_| !is_layer).and_then(|own| own.shape.clone());
            let shape = shape.unwrap_or(fitting);
            Tensor::placeholder(given.and_then(|own| own.dtype).unwrap_or(usual), &shape)
        };
        self.info.operands.iter().zip(shapes).enumerate().map(tensor).collect()
    }

    /// The shape that the classes of rows are in: the first tensor's, or that of a layer's logits.
    fn logits(&self, signature: &[&Tensor]) -> Vec<usize> {
        match signature {
            [input, matrix, ..] if fit::is_layer(self.info) => {
                let (rows, classes) = (input.shape().split_last(), matrix.shape().split_last());
                let all = [rows.map_or(&[][..], |own| own.1), classes.map_or(&[][..], |own| own.1)];
                all.concat()
            }
            _ => self.first.clone(),
        }
    }

    /// Gives the loss its optional tensors: of the shape given, or of the first that it takes.
    fn attach(&self, loss: &mut dyn Loss, signature: &[&Tensor]) -> Result<(), Error> {
        for given in self.info.tensors {
            let Some(own) = spec(self.matches, given.role.name()) else {
                continue;
            };
            let dtype = own.dtype.unwrap_or(self.dtype);
            let mut shapes: Vec<Vec<usize>> = own.shape.iter().cloned().collect();
            if shapes.is_empty() {
                let first = self.logits(signature);
                shapes.extend(first.get(fit::class_dim(&first)).map(|&n| vec![n]));
                shapes.extend(first.last().map(|&n| vec![n]));
                shapes.extend((!first.is_empty()).then(|| TargetShape::WithoutClasses.shape(&first)));
                shapes.push(first);
            }
            for shape in &shapes {
                loss.attach(given.role, Tensor::placeholder(dtype, shape)?)?;
                if shapes.len() == 1 || loss.problem(&Call::new(Mode::Forward, signature)).is_ok() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The upstream gradient: of the shape given, else of no dimensions, or, of a function, of the result's.
    fn grad_output(&self, loss: &dyn Loss, signature: &[&Tensor]) -> Result<Option<Tensor>, Error> {
        let Some(own) = spec(self.matches, "grad_output") else {
            return Ok(None);
        };
        let shape = match &own.shape {
            Some(shape) => shape.clone(),
            None if parts::is_function(self.info) => {
                let problem = loss.problem(&Call::new(Mode::Forward, signature))?;
                problem.loss_shape().to_vec()
            }
            None => Vec::new(),
        };
        Tensor::placeholder(own.dtype.unwrap_or(Dtype::F32), &shape).map(Some)
    }

    /// The upstream gradients of a statistic: of the shape given, else one for each row.
    fn of_stats(&self, role: Role, loss: &dyn Loss, signature: &[&Tensor]) -> Result<Option<Tensor>, Error> {
        let own = operands::of_stats(self.info).find(|(own, _)| *own == role);
        let Some(own) = own.and_then(|_| spec(self.matches, role.name())) else {
            return Ok(None);
        };
        let shape = match &own.shape {
            Some(shape) => shape.clone(),
            None => loss.problem(&Call::new(Mode::Forward, signature))?.terms,
        };
        Tensor::placeholder(own.dtype.unwrap_or(Dtype::F32), &shape).map(Some)
    }
}

fn loss(
    info: &'static Info,
    preset: Option<&'static Preset>,
    matches: &ArgMatches,
    device: Device,
) -> Result<Planned, Failure> {
    let mut loss = (info.new)();
    compute::set_options(loss.as_mut(), preset, matches)?;
    let wanted = Wanted::of(info, matches)?;
    let first = info.operands.first().map_or("input", |own| own.role.name());
    let failed = |error: Error| described(&error, first, matches);

    let tensors = Tensors::new(info, matches);
    let signature = tensors.signature(loss.as_ref()).map_err(failed)?;
    let signature: Vec<&Tensor> = signature.iter().collect();
    tensors.attach(loss.as_mut(), &signature).map_err(failed)?;
    let grad_output = tensors.grad_output(loss.as_ref(), &signature).map_err(failed)?;
    let of_stats = |role| tensors.of_stats(role, loss.as_ref(), &signature).map_err(failed);
    let (grad_lse, grad_entropy) = (of_stats(Role::GradLse)?, of_stats(Role::GradEntropy)?);
    let call = Call {
        grad_output: grad_output.as_ref(),
        grad_lse: grad_lse.as_ref(),
        grad_entropy: grad_entropy.as_ref(),
        grad_input: if wanted.adds {
            GradTo::AddTo(signature[0])
        } else {
            GradTo::New
        },
        grads: wanted.grads,
        stats: wanted.stats,
        checks: compute::checks(matches),
        ..Call::new(wanted.mode, &signature)
    };
    let mut problem = loss.problem(&call).map_err(failed)?;
    if wanted.in_place {
        // As where the tensor lies in one buffer of a device, which no placeholder does.
        problem.in_place = true;
        problem.operands[0].grad = Some(problem.operands[0].view.clone());
    }
    let shape = tensors.logits(&signature);
    let classes = shape.get(fit::class_dim(&shape)).map_or(1, |&size| size as u64);
    let given = problem.operands.iter().map(|own| (own.role, &own.view));
    let of_loss = problem.grad_output.iter().map(|view| (Role::GradOutput, view));
    let upstream = of_loss.chain(problem.grad_stats.iter().map(|(role, view)| (*role, view)));
    let shaped = |(role, view): (Role, &wgloss::View)| Shaped {
        name: role.name(),
        shape: view.shape.clone(),
        dtype: view.dtype,
    };
    let reduction = match parts::is_function(info) {
        true => String::new(),
        false => format!(" ({})", loss.reduction().name()),
    };
    Ok(Planned {
        name: format!("{}{reduction} {}{}", info.name, wanted.mode.name(), wanted.told),
        tensors: given.chain(upstream).map(shaped).collect(),
        least: problem.least_traffic(),
        classes,
        plan: plan::plan(&problem, &device.limits, &device.tuning)?,
        planner: Box::new(move |limits| plan::plan(&problem, limits, &device.tuning)),
        device,
    })
}

/// What of a call its options ask for.
struct Wanted {
    mode: Mode,
    grads: Vec<Role>,
    in_place: bool,
    adds: bool,
    stats: Stats,
    /// What the name of the call tells of that.
    told: String,
}

impl Wanted {
    fn of(info: &Info, matches: &ArgMatches) -> Result<Self, Failure> {
        let word = |id: &str| matches.get_one::<String>(id).map_or("", String::as_str);
        let mode = Mode::ALL.into_iter().find(|own| own.name() == word("mode"));
        let mode = mode.unwrap_or(Mode::Fused);
        let grads = info.graded().map(|(_, role)| role);
        let grads = grads.filter(|role| matches.get_flag(&format!("grad-{}", args::dashed(role.name()))));
        let grads: Vec<Role> = grads.collect();
        let (in_place, adds) = (word("grad_to") == IN_PLACE, word("grad_to") == ADD);
        let given = grads.first().map(|role| format!("grad-{}", args::dashed(role.name())));
        let given = given.or((in_place || adds).then(|| format!("grad-to {}", word("grad_to"))));
        let of_stats = operands::of_stats(info).map(|(role, _)| role);
        let mut upstream = [Role::GradOutput].into_iter().chain(of_stats);
        let upstream = upstream.find(|role| spec(matches, role.name()).is_some());
        let given = given.or(upstream.map(|role| args::dashed(role.name())));
        if let Some(given) = given.filter(|_| !mode.wants_grad()) {
            return Err(Failure::Usage(format!(
                "--{given}: there is no gradient in --mode {}",
                mode.name()
            )));
        }
        let asked = matches.try_get_many::<String>("stats").ok().flatten();
        let asked: Vec<&str> = asked.into_iter().flatten().map(String::as_str).collect();
        let [lse, argmax, entropy, accuracy] = STATS.map(|own| asked.contains(&own));
        let mut told: Vec<String> = grads.iter().map(|role| format!("grad of {}", role.name())).collect();
        told.extend((in_place || adds).then(|| match in_place {
            true => "in place".into(),
            false => "added".into(),
        }));
        told.extend(asked.iter().map(|&own| own.to_owned()));
        Ok(Self {
            mode,
            grads,
            in_place,
            adds,
            stats: Stats {
                lse,
                argmax,
                entropy,
                accuracy,
                z_loss: false, // comes wherever there is one
            },
            told: told.iter().map(|own| format!(", {own}")).collect(),
        })
    }
}

fn step(info: &'static optim::Info, matches: &ArgMatches, device: Device) -> Result<Planned, Failure> {
    let mut optimizer = (info.new)();
    step::set_options(optimizer.as_mut(), matches)?;
    let failed = |error: Error| described(&error, "param", matches);
    let usual = args::chosen_dtype(matches).unwrap_or(Dtype::F32);
    let (param, grad) = (spec(matches, "shape"), spec(matches, "grad"));
    let shape = param.and_then(|own| own.shape.clone()).unwrap_or_default();
    let dtype = param.and_then(|own| own.dtype).unwrap_or(usual);
    let grad_shape = grad.and_then(|own| own.shape.clone()).unwrap_or(shape.clone());
    let param = Tensor::placeholder(dtype, &shape).map_err(failed)?;
    let grad = Tensor::placeholder(grad.and_then(|own| own.dtype).unwrap_or(dtype), &grad_shape).map_err(failed)?;
    let steps = matches.get_one::<u64>("steps").copied().unwrap_or(0);
    let mut state = State::after(steps);
    if steps > 0 {
        let states = optimizer.rule(&state).states;
        for role in &info.states[..states] {
            state.attach(*role, Tensor::placeholder(Dtype::F32, &shape).map_err(failed)?);
        }
    }
    let update = optimizer.update(param.view(), grad.view(), &state).map_err(failed)?;
    let mut tensors = vec![("param", &update.param)];
    tensors.extend(update.grad.iter().map(|view| ("grad", view)));
    tensors.extend(update.states.iter().map(|(role, view)| (role.name(), view)));
    let shaped = |(name, view): (&'static str, &wgloss::View)| Shaped {
        name,
        shape: view.shape.clone(),
        dtype: view.dtype,
    };
    let nth = steps.saturating_add(1);
    Ok(Planned {
        name: format!("{} step {nth}", info.name),
        tensors: tensors.into_iter().map(shaped).collect(),
        least: update.least_traffic(),
        classes: 1,
        plan: plan::plan_update(&update, &device.limits, &device.tuning)?,
        planner: Box::new(move |limits| plan::plan_update(&update, limits, &device.tuning)),
        device,
    })
}
