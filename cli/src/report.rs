//! What `wgloss compute` prints.

use serde_json::{Map, Value, json};
use wgloss::problem::{Family, Problem, Targets};
use wgloss::{Array, Engine, Loss, Streamed, Values};
use wgloss_bench::tuned;
use wgloss_shell::print::{self, significant};

use crate::output::Outputs;
use crate::parts::{self, Part};

/// Functions with so few results have them all on the line.
const FEW: usize = 8;

/// What is told of a call.
pub struct Report<'a> {
    pub loss: &'a dyn Loss,
    pub problem: &'a Problem,
    pub values: &'a Values,
    pub engine: &'a Engine,
    pub milliseconds: f64,
    /// Of a call that did not fit into the memory.
    pub streamed: Option<Streamed>,
}

impl Report<'_> {
    fn backend(&self) -> &'static str {
        if self.engine.adapter_info().is_some() {
            "gpu"
        } else {
            "cpu"
        }
    }

    /// The numbers of what is in no file.
    pub fn json(&self, outputs: &Outputs) -> Value {
        let values = self.values;
        let input = self.problem.input();
        let floats = |array: &Array, part| match array.data.as_slice() {
            [scalar] if array.shape.is_empty() => print::json_f32(*scalar),
            _ if outputs.wants(part) => Value::Null,
            all => all.iter().copied().map(print::json_f32).collect(),
        };
        let loss = match (&values.loss, &values.argmax) {
            (Some(loss), _) if values.exact.is_some() => match values.exact.as_deref().unwrap_or_default() {
                [scalar] if loss.shape.is_empty() => print::json_f64(*scalar),
                _ if outputs.wants(Part::Loss) => Value::Null,
                all => all.iter().copied().map(print::json_f64).collect(),
            },
            (Some(loss), _) => floats(loss, Part::Loss),
            (None, Some(indices)) if indices.shape.is_empty() => indices.data.first().copied().into(),
            (None, Some(indices)) if !outputs.wants(Part::Loss) => indices.data.clone().into(),
            _ => Value::Null,
        };
        let mut report = Map::new();
        let mut add = |key: &str, value: Value| report.insert(key.into(), value);
        add("loss", loss);
        add("loss_name", self.loss.info().name.into());
        add("reduction", self.loss.reduction().name().into());
        add("shape", json!(input.shape));
        add("dtype", input.dtype.name().into());
        add("loss_shape", json!(self.problem.loss_shape()));
        add("rows", values.terms.into());
        add("ignored", values.ignored.into());
        if let (Some(correct), Some(accuracy)) = (values.correct, values.accuracy()) {
            add("correct", correct.into());
            add("accuracy", print::json_f64(accuracy));
        }
        if let Some(z_loss) = &values.z_loss {
            add("z_loss", floats(z_loss, Part::ZLoss));
        }
        add("backend", self.backend().into());
        add("adapter", self.engine.name().into());
        if let Some(tuning) = tuned::own(self.engine) {
            add("tuning", tuned::json(&tuning).into());
        }
        add("milliseconds", print::json_ms(self.milliseconds));
        if let Some(own) = &self.streamed {
            let ms = |ns: f64| print::json_ms(ns / 1e6);
            add(
                "stream",
                json!({
                    "parts": own.parts,
                    "in_flight": own.in_flight,
                    "read_bytes": own.read_bytes,
                    "written_bytes": own.written_bytes,
                    "buffer_bytes": own.memory,
                    "read_ms": ms(own.read_ns),
                    "write_ms": ms(own.write_ns),
                    "wait_ms": ms(own.wait_ns),
                    "device_ms": own.device_ns.map(ms),
                    "wall_ms": ms(own.wall_ns),
                    "overlap": own.overlap().map(print::json_f64),
                }),
            );
        }
        Value::Object(report)
    }

    /// Why the reduced loss is NaN, where it is.
    pub fn nan(&self) -> Option<&'static str> {
        if !self.problem.is_reduced() || !self.values.scalar()?.is_nan() {
            return None;
        }
        Some(if self.values.terms == self.values.ignored {
            "the mean of no rows"
        } else {
            "a NaN or an infinity among the operands, or weights that add up to 0"
        })
    }

    /// `cross_entropy (mean) 0.123192   1797 rows, 10 classes, 0 ignored   accuracy …   gpu: …   12.3 ms`
    pub fn line(&self) -> String {
        let info = self.loss.info();
        let is_function = parts::is_function(info);
        let result = match (&self.values.loss, &self.values.argmax) {
            (Some(Array { data, .. }), _) if self.problem.is_reduced() => data.iter().map(|&x| number(x)).collect(),
            (Some(array), _) if is_function => match &self.values.exact {
                Some(exact) => function(&array.shape, "f64", exact, exact_number),
                None => function(&array.shape, array.dtype.name(), &array.data, number),
            },
            (Some(array), _) => format!("{} losses{}", array.data.len(), range(&array.data)),
            (None, Some(array)) => function(&array.shape, array.dtype.name(), &array.data, |x| x.to_string()),
            (None, None) => format!("{} losses", self.values.terms),
        };
        let name = match is_function {
            true => info.name.to_owned(),
            false => format!("{} ({})", info.name, self.loss.reduction().name()),
        };
        let mut parts = vec![format!("{name} {result}"), self.size()];
        if let Some(z_loss) = &self.values.z_loss {
            parts.push(match z_loss.data.as_slice() {
                [scalar] if z_loss.shape.is_empty() => format!("z-loss {}", number(*scalar)),
                all => format!("z-loss{}", range(all)),
            });
        }
        if let (Some(correct), Some(accuracy)) = (self.values.correct, self.values.accuracy()) {
            let kept = self.values.terms - self.values.ignored;
            parts.push(format!("accuracy {} ({correct} of {kept})", significant(accuracy)));
        }
        parts.push(format!("{}: {}", self.backend(), tuned::name(self.engine)));
        parts.push(format!("{:.1} ms", self.milliseconds));
        parts.join("   ")
    }

    /// `streamed in 96 parts, 2 at a time: 6.4 GB read …`
    pub fn stream_line(&self) -> Option<String> {
        let own = self.streamed.as_ref()?;
        let seconds = |ns: f64| format!("{:.2} s", ns / 1e9);
        let moved = (own.read_bytes + own.written_bytes) as f64;
        let mut line = format!(
            "streamed in {} parts, {} at a time, {:.0} MiB of buffers   {:.3} GB read in {}, {:.3} GB written in {}",
            own.parts,
            own.in_flight,
            own.memory as f64 / f64::from(1 << 20),
            own.read_bytes as f64 / 1e9,
            seconds(own.read_ns),
            own.written_bytes as f64 / 1e9,
            seconds(own.write_ns),
        );
        if let (Some(device_ns), Some(overlap)) = (own.device_ns, own.overlap()) {
            line += &format!(
                ", {} computing, {:.0} % of the shorter hidden",
                seconds(device_ns),
                100.0 * overlap
            );
        }
        line += &format!("   {:.2} GB/s", moved / own.wall_ns);
        Some(line)
    }

    /// How much there was of what.
    fn size(&self) -> String {
        let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let terms = self.values.terms;
        match &self.problem.family {
            Family::Elements(_) => count(terms, "element"),
            Family::Pairs(pairs) => format!("{} of {}", count(terms, "row"), pairs.cols),
            Family::Rows(rows) => {
                let all = count(rows.rows(), "row");
                match rows.targets {
                    Targets::None => format!("{all} of {}", rows.cols),
                    Targets::Index { ignore_index: Some(_) } => {
                        format!("{all}, {} classes, {} ignored", rows.cols, self.values.ignored)
                    }
                    _ => format!("{all}, {} classes", rows.cols),
                }
            }
        }
    }
}

fn number(x: f32) -> String {
    significant(f64::from(x))
}

/// The result of a function: all of it where that is little, else how large it is, and its range.
fn function<T: Copy + Into<Numeric>>(shape: &[usize], dtype: &str, data: &[T], text: impl Fn(T) -> String) -> String {
    let numbers: Vec<String> = data.iter().take(FEW).map(|&x| text(x)).collect();
    if shape.is_empty() {
        return numbers.concat();
    }
    let kind = format!("{shape:?} {dtype}");
    if data.len() <= FEW {
        return format!("{kind}: {}", numbers.join(" "));
    }
    format!("{kind}{}", range(data))
}

/// Whole numbers with all their digits.
fn exact_number(x: f64) -> String {
    match x.fract() == 0.0 && x.abs() <= 2f64.powi(53) {
        true => format!("{x}"),
        false => significant(x),
    }
}

/// A number of any dtype.
struct Numeric(f64);

impl From<f64> for Numeric {
    fn from(x: f64) -> Self {
        Self(x)
    }
}

impl From<f32> for Numeric {
    fn from(x: f32) -> Self {
        Self(x.into())
    }
}

impl From<i64> for Numeric {
    fn from(x: i64) -> Self {
        Self(x as f64)
    }
}

/// Many numbers in a line: their range and mean without the NaN among them.
fn range<T: Copy + Into<Numeric>>(data: &[T]) -> String {
    let all = data.iter().map(|&x| Into::<Numeric>::into(x).0);
    let numbers: Vec<f64> = all.filter(|x| !x.is_nan()).collect();
    let nans = data.len() - numbers.len();
    if numbers.is_empty() {
        return format!(", {nans} NaN");
    }
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let [least, mean, largest] = [least, mean, largest].map(significant);
    format!(": min {least}, mean {mean}, max {largest}, {nans} NaN")
}
