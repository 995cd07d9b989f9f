//! How a loss becomes a function of one number.

use wgloss::{Call, Engine, Info, Loss, Mode, OperandInfo, OperandKind, Reduction, Result, Role, Scalar, Tensor};
use wgloss_bench::fit;

use crate::parts;

/// Options and other tensors of a curve, by name.
pub type Setting = (&'static str, Scalar);

/// What is drawn over which number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// Each element of the first tensor by itself, the others being numbers.
    Elements,
    /// One column of a row, the others being 0.
    Row,
    /// The angle between the rows of a pair.
    Angle,
    /// The place of the negative on a line, whose anchor is at 0.
    Line,
}

/// Options that no curve shows: of empty sums, of rows left out, of dimensions.
const UNSEEN: [&str; 4] = ["ignore_index", "on_empty", "denominator", "dim"];

pub struct Setup {
    info: &'static Info,
    form: Form,
}

/// A loss and its gradient, number for number of the axis.
pub struct Curve {
    pub settings: Vec<Setting>,
    pub loss: Vec<f32>,
    pub gradient: Vec<f32>,
}

impl Setup {
    /// `None` for what has no curve.
    pub fn of(info: &'static Info) -> Option<Self> {
        let first = info.operands.first()?.kind;
        let has_classes = info.operands.iter().any(|own| own.kind.is_classes());
        let form = match info.name {
            "cosine_embedding" => Form::Angle,
            "triplet_margin" => Form::Line,
            // cross_entropy has the curve of its logits.
            _ if fit::is_layer(info) => return None,
            _ if fit::is_elementwise(info) => Form::Elements,
            _ if has_classes || first == OperandKind::Logit => Form::Row,
            _ => return None,
        };
        Some(Self { info, form })
    }

    pub fn has_classes(&self) -> bool {
        self.form == Form::Row
    }

    pub fn is_function(&self) -> bool {
        parts::is_function(self.info)
    }

    /// The options that a curve shows.
    pub fn options(&self) -> impl Iterator<Item = &'static wgloss::OptionInfo> {
        // On a line all norms agree.
        let agrees = |name| self.form == Form::Line && name == "p";
        let all = self.info.options.iter();
        all.filter(move |own| !UNSEEN.contains(&own.name) && !agrees(own.name))
    }

    /// The tensors that are one number in the whole of a curve.
    pub fn numbers(&self) -> impl Iterator<Item = &'static OperandInfo> {
        let keeps = |own: &&OperandInfo| match self.form {
            Form::Elements | Form::Row => true,
            Form::Angle => own.role == Role::Target,
            Form::Line => own.role == Role::Positive,
        };
        self.info.operands.iter().skip(1).filter(keeps)
    }

    /// What such a tensor is where nothing is said, beside these options.
    pub fn number(&self, own: &OperandInfo, settings: &[Setting]) -> Scalar {
        Scalar::Float(match own.kind {
            kind if kind.is_classes() => return Scalar::Int(0),
            OperandKind::MaybeLogProbability if is(settings, "log_target", true) => -0.5,
            OperandKind::MaybeLogProbability => 0.5,
            OperandKind::Count => 2.0,
            OperandKind::UnitInterval | OperandKind::Variance | OperandKind::Sign => 1.0,
            _ if self.form == Form::Line => 1.0,
            _ => 0.0,
        })
    }

    /// Where the curves of these settings show what they are.
    pub fn range(&self, curves: &[Vec<Setting>]) -> (f64, f64) {
        match (self.form, self.info.operands[0].kind) {
            (Form::Angle, _) => (0.0, 180.0),
            (Form::Line, _) => (0.0, 4.0),
            (_, OperandKind::Logit) => (-6.0, 6.0),
            (_, OperandKind::LogProbability) => (-5.0, 0.0),
            // The logarithms of the ends are infinite.
            (_, OperandKind::UnitInterval) => (0.02, 0.98),
            (_, OperandKind::Rate) if curves.iter().any(|own| is(own, "log_input", false)) => (0.05, 8.0),
            _ => (-3.0, 3.0),
        }
    }

    /// The number that is drawn over.
    pub fn axis(&self, classes: usize) -> String {
        let first = &self.info.operands[0];
        let what = first.help.split(',').next().unwrap_or_default();
        match self.form {
            Form::Elements => format!("{}: {what}", first.role.name()),
            Form::Row => format!("{} of class 0 of {classes}, the others being 0", first.role.name()),
            Form::Angle => "angle between input1 and input2 in degrees".into(),
            Form::Line => "negative, on a line with the anchor at 0".into(),
        }
    }

    /// What the gradient is by.
    pub fn by(&self) -> &'static str {
        match self.form {
            Form::Elements | Form::Row => self.info.operands[0].role.name(),
            Form::Angle => "the angle, per radian",
            Form::Line => Role::Negative.name(),
        }
    }

    /// Computes a curve, on the processor.
    pub fn curve(&self, engine: &Engine, settings: &[Setting], axis: &[f32], classes: usize) -> Result<Curve> {
        let mut loss = (self.info.new)();
        for (name, value) in settings {
            if self.info.options.iter().any(|own| own.name == *name) {
                loss.set(name, value)?;
            }
        }
        loss.set_reduction(Reduction::None);
        loss.check()?;
        let number = |own: &OperandInfo| match settings.iter().find(|(name, _)| *name == own.role.name()) {
            Some((_, Scalar::Float(value))) => *value as f32,
            Some((_, Scalar::Int(value))) => *value as f32,
            _ => 0.0,
        };
        let (values, gradient) = match self.form {
            Form::Elements => {
                let all = |own| Tensor::new(&vec![number(own); axis.len()], &[axis.len()]);
                let others = self.numbers().map(all);
                let tensors: Result<Vec<_>> = std::iter::once(Tensor::new(axis, &[axis.len()]))
                    .chain(others)
                    .collect();
                run(loss.as_ref(), engine, &tensors?, None, None)?
            }
            Form::Row => self.rows(loss.as_ref(), engine, axis, classes, number)?,
            Form::Angle => {
                let turn = |degrees: &f32| f64::from(*degrees).to_radians().sin_cos();
                let moving: Vec<f32> = axis
                    .iter()
                    .map(turn)
                    .flat_map(|(sin, cos)| [cos as f32, sin as f32])
                    .collect();
                let tensors = [
                    Tensor::new(&moving, &[axis.len(), 2])?,
                    Tensor::new(&[1f32, 0.0].repeat(axis.len()), &[axis.len(), 2])?,
                    Tensor::new(&vec![number(&self.info.operands[2]); axis.len()], &[axis.len()])?,
                ];
                let (values, gradient) = run(loss.as_ref(), engine, &tensors, None, None)?;
                // Along the circle that the row moves on.
                let along = axis.iter().map(turn).zip(gradient.chunks_exact(2));
                let along = along.map(|((sin, cos), by)| (cos * f64::from(by[1]) - sin * f64::from(by[0])) as f32);
                (values, along.collect())
            }
            Form::Line => {
                let at = |x: f32| Tensor::new(&vec![x; axis.len()], &[axis.len(), 1]);
                let tensors = [
                    at(0.0)?,
                    at(number(&self.info.operands[1]))?,
                    Tensor::new(axis, &[axis.len(), 1])?,
                ];
                run(loss.as_ref(), engine, &tensors, None, Some(Role::Negative))?
            }
        };
        Ok(Curve {
            settings: settings.to_vec(),
            loss: values,
            gradient,
        })
    }

    /// Over the first column of rows.
    fn rows(
        &self,
        loss: &dyn Loss,
        engine: &Engine,
        axis: &[f32],
        classes: usize,
        number: impl Fn(&OperandInfo) -> f32,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let shape = [axis.len(), classes];
        // A row with something in one of its columns.
        let row = |column: usize, value: f32, rest: f32| {
            let mut row = vec![rest; classes];
            row[column] = value;
            row
        };
        let scores: Vec<f32> = axis.iter().flat_map(|&x| row(0, x, 0.0)).collect();
        let mut tensors = vec![Tensor::new(&scores, &shape)?];
        if let Some(own) = self.info.operands.get(1) {
            let value = number(own);
            tensors.push(match own.kind {
                OperandKind::IndexList => {
                    let list: Vec<i64> = row(0, value, -1.0).iter().map(|&class| class as i64).collect();
                    Tensor::new(&list.repeat(axis.len()), &shape)?
                }
                kind if kind.is_classes() => Tensor::new(&vec![value as i64; axis.len()], &shape[..1])?,
                _ => Tensor::new(&row(0, value, 0.0).repeat(axis.len()), &shape)?,
            });
        }
        // Of a function, the value of the column by itself.
        let upstream = match self.is_function() {
            true => Some(Tensor::new(&row(0, 1.0, 0.0).repeat(axis.len()), &shape)?),
            false => None,
        };
        let (values, gradient) = run(loss, engine, &tensors, upstream.as_ref(), None)?;
        let first = |list: Vec<f32>| list.into_iter().step_by(classes).collect();
        let values = if self.is_function() { first(values) } else { values };
        Ok((values, first(gradient)))
    }
}

fn is(settings: &[Setting], name: &'static str, wanted: bool) -> bool {
    settings.contains(&(name, Scalar::Bool(wanted)))
}

/// The losses, and the gradient of the first tensor or another.
fn run(
    loss: &dyn Loss,
    engine: &Engine,
    tensors: &[Tensor],
    grad_output: Option<&Tensor>,
    by: Option<Role>,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let tensors: Vec<&Tensor> = tensors.iter().collect();
    let call = Call {
        grad_output,
        grads: by.into_iter().collect(),
        ..Call::new(Mode::Fused, &tensors)
    };
    let values = loss.run(engine, &call)?.read(engine)?;
    let gradient = match by {
        None => values.grad_input.as_ref(),
        Some(role) => values.grad(role),
    };
    let data = |array: Option<&wgloss::Array>| array.map(|array| array.data.clone()).unwrap_or_default();
    Ok((data(values.loss.as_ref()), data(gradient)))
}
