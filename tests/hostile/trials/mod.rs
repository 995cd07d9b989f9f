//! Calls whose results hang on guards: infinities, NaN, zeros beside them, and numbers whose products leave f32.

mod elements;
mod gates;
mod margins;
mod rows;

use wgloss::{Call, Engine, Loss, Mode, Reduction, Role, Stats, Tensor, reference};

use crate::common::against::compare;

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;
const MAX: f32 = f32::MAX;
const NONE: Reduction = Reduction::None;

/// Runs on an engine, and tells what is not right.
type Run = dyn Fn(&Engine) -> Vec<String> + Send + Sync;

/// What is run on an engine, and what of it is not right.
pub struct Trial {
    pub name: &'static str,
    pub run: Box<Run>,
}

fn tensor(data: &[f32], shape: &[usize]) -> Tensor {
    Tensor::new(data, shape).unwrap()
}

fn column(data: &[f32]) -> Tensor {
    tensor(data, &[data.len()])
}

fn labels(data: &[i64]) -> Tensor {
    Tensor::new(data, &[data.len()]).unwrap()
}

/// A call of a loss against the reference.
struct Against {
    name: &'static str,
    loss: Box<dyn Loss>,
    tensors: Vec<Tensor>,
    grads: Vec<Role>,
    upstream: Option<Tensor>,
    of_stats: Option<Tensor>,
    stats: Stats,
}

fn against(name: &'static str, loss: impl Loss + 'static, tensors: Vec<Tensor>) -> Against {
    Against {
        name,
        loss: Box::new(loss),
        tensors,
        grads: Vec::new(),
        upstream: None,
        of_stats: None,
        stats: Stats::default(),
    }
}

impl Against {
    fn grads(mut self, grads: &[Role]) -> Self {
        self.grads = grads.to_vec();
        self
    }

    fn upstream(mut self, upstream: Tensor) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// Upstream gradients of rows' statistics.
    fn of_stats(mut self, by: Tensor) -> Self {
        self.of_stats = Some(by);
        self
    }

    fn stats(mut self) -> Self {
        self.stats = Stats {
            lse: true,
            entropy: true,
            ..Default::default()
        };
        self
    }

    fn trial(self) -> Trial {
        let name = self.name;
        let run = move |engine: &Engine| {
            let call = Call {
                grads: self.grads.clone(),
                grad_output: self.upstream.as_ref(),
                grad_lse: self.of_stats.as_ref(),
                grad_entropy: self.of_stats.as_ref(),
                stats: self.stats,
                ..Call::new(Mode::Fused, &self.tensors.iter().collect::<Vec<_>>())
            };
            let want = reference::run(self.loss.as_ref(), &call).unwrap();
            let got = self.loss.run(engine, &call).unwrap().read(engine).unwrap();
            compare(name, self.loss.as_ref(), &call, &got, &want)
        };
        Trial {
            name,
            run: Box::new(run),
        }
    }
}

/// Relative to each number by itself.
fn closely(what: &str, within: f64, got: &[f32], want: impl Iterator<Item = f64>) -> Vec<String> {
    let apart = |(got, want): (&f32, f64)| {
        let fits = (f64::from(*got) - want).abs() <= within * want.abs();
        (!fits).then(|| format!("{what}: {got:e} instead of {want:e}"))
    };
    got.iter().zip(want).filter_map(apart).collect()
}

pub fn trials() -> Vec<Trial> {
    let all = [
        rows::rows_of_softmax(),
        rows::reductions(),
        margins::margins(),
        elements::elements(),
        gates::checks(),
        gates::gates(),
    ];
    all.into_iter().flatten().collect()
}
