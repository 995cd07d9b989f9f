//! Variants of what is no loss: products, what `bench` times, the log of faults, optimizers' steps.

use wgloss::optim::{Gating, OPTIMIZERS, Setting as OptimizerSetting, State};
use wgloss::plan::{
    Dispatch, plan, plan_copy, plan_gate, plan_gather, plan_multiply, plan_naive, plan_norm, plan_product,
    plan_rescale, plan_update,
};
use wgloss::{Call, ClipGrad, Dtype, Error, Limits, LinearCrossEntropy, Loss, Mode, Role, Stats, Tensor, Tuning, View};

use super::variants::of;
use crate::common::cases::DTYPES;
use crate::common::plans::DEFAULT_LIMITS;

/// 16-bit floats of both kinds, which only operands of products are.
const MIXED: [(Dtype, Dtype); 2] = [(Dtype::F16, Dtype::Bf16), (Dtype::Bf16, Dtype::F16)];

/// Products of all layouts, in large tiles and small ones, of quads and single elements, cut along the depth or not.
pub fn products() -> Vec<Dispatch> {
    let mut list = Vec::new();
    for (dtype, other) in DTYPES.into_iter().chain(MIXED) {
        for ([rows, cols, depth], transposed) in [[8, 8, 8], [1500, 1500, 40_000], [7, 7, 7], [1501, 1501, 40_001]]
            .into_iter()
            .flat_map(|sizes| [[false, true], [false, false], [true, false]].map(|own| (sizes, own)))
        {
            let view = |lines, across: bool, dtype| {
                View::contiguous(dtype, &if across { [depth, lines] } else { [lines, depth] })
            };
            let (left, right) = (view(rows, transposed[0], dtype), view(cols, !transposed[1], other));
            let into = View::contiguous(Dtype::F32, &[rows, cols]);
            let plan = plan_product([&left, &right, &into], transposed, &DEFAULT_LIMITS, &Tuning::HARDWARE).unwrap();
            list.extend(of(plan));
        }
    }
    list
}

/// Layers of a few tiles and of many, in quads or not, with blocks of rows and with logits that are computed twice.
pub fn layers() -> Vec<Dispatch> {
    let mut list = Vec::new();
    let stats = [
        Stats::default(),
        Stats {
            lse: true,
            ..Stats::default()
        },
    ];
    for ((dtype, other), [rows, features, classes]) in DTYPES
        .into_iter()
        .chain(MIXED)
        .flat_map(|dtypes| [[300, 8, 72], [300, 7, 71], [1300, 64, 1300]].map(|sizes| (dtypes, sizes)))
    {
        for (n, (heads, full)) in [(1, false), (1, true), (2, false), (2, true)].into_iter().enumerate() {
            let head = &[heads][..usize::from(heads > 1)];
            let blank = |dtype, shape: &[&[usize]]| Tensor::placeholder(dtype, &shape.concat()).unwrap();
            let input = blank(dtype, &[&[rows, features]]);
            let matrix = blank(other, &[&[classes], head, &[features]]);
            let target = match full {
                true => blank(Dtype::F32, &[&[rows, classes], head]),
                false => blank(Dtype::I64, &[&[rows], head]),
            };
            for (tuning, subgroup) in [(Tuning::SOFTWARE, 8), (Tuning::HARDWARE, 1), (Tuning::HARDWARE, 32)] {
                for (k, scratch_bytes) in [64 << 20, 1 << 18].into_iter().enumerate() {
                    let loss = LinearCrossEntropy {
                        linear_bias: ((n + k) % 2 == 0).then(|| blank(other, &[&[classes], head])),
                        label_smoothing: 0.1 * k as f64,
                        filter_eps: 1e-4 * (n % 3) as f64,
                        ..Default::default()
                    };
                    let mut grads = vec![Role::LinearWeight];
                    grads.extend(loss.linear_bias.as_ref().map(|_| Role::LinearBias));
                    grads.extend(full.then_some(Role::Target));
                    let limits = Limits {
                        scratch_bytes,
                        subgroup,
                        ..DEFAULT_LIMITS
                    };
                    for mode in [Mode::Forward, Mode::Fused] {
                        let call = Call {
                            grads: if mode.wants_grad() { grads.clone() } else { Vec::new() },
                            stats: stats[(n + k) / 2 % 2],
                            ..Call::new(mode, &[&input, &matrix, &target])
                        };
                        let problem = loss.problem(&call).unwrap();
                        // Several places of a head need all columns of a row at once.
                        match plan(&problem, &limits, &tuning) {
                            Err(Error::Limit(_)) if heads > 1 => {}
                            own => list.extend(of(own.unwrap())),
                        }
                    }
                }
            }
        }
    }
    list
}

/// The copy, the naive sums and the multiply-adds of `bench`, the log of faults, and the optimizers' steps.
pub fn others() -> Vec<Dispatch> {
    let mut list = of(plan_multiply(1, 1, &DEFAULT_LIMITS).unwrap().0);
    for record in [Role::Control, Role::Fault(1)] {
        list.extend(of(plan_gather(record, 7, 1, &DEFAULT_LIMITS)));
    }
    for per_lane in [1, 64] {
        let view = View::contiguous(Dtype::F32, &[1 << 20]);
        list.extend(of(plan_naive(&view, per_lane, &DEFAULT_LIMITS).unwrap()));
    }
    for (max_norm, skips) in [(None, false), (None, true), (Some(1.0), false), (Some(1.0), true)] {
        list.extend(of(plan_gate(max_norm, 1.0, skips, &DEFAULT_LIMITS)));
    }
    list.extend(of(plan_rescale(2.0, 0.5, 2000, &DEFAULT_LIMITS)));
    for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
        for (norm_type, (dtype, _)) in [1.0, 2.0, 3.0, f64::INFINITY]
            .into_iter()
            .flat_map(|p| DTYPES.map(|own| (p, own)))
        {
            for len in [7, 1 << 20] {
                let view = View::contiguous(dtype, &[len]);
                list.extend(of(
                    plan_norm(norm_type, (Some(3), &view), &DEFAULT_LIMITS, &tuning).unwrap()
                ));
                list.extend(of(
                    plan_norm(norm_type, (None, &view), &DEFAULT_LIMITS, &tuning).unwrap()
                ));
                let clip = ClipGrad::norm(1.0).in_place(&view);
                list.extend(of(plan_update(&clip, &DEFAULT_LIMITS, &tuning).unwrap()));
            }
        }
        let view = View::contiguous(Dtype::F32, &[1 << 20]);
        list.extend(of(plan_copy(&view, &DEFAULT_LIMITS, &tuning).unwrap()));
        for (info, (dtype, other)) in OPTIMIZERS.iter().flat_map(|info| DTYPES.map(|dtypes| (info, dtypes))) {
            for len in [7, 8] {
                let (param, grad) = (View::contiguous(dtype, &[len]), View::contiguous(other, &[len]));
                // Every option changed, by itself and with each other.
                let values = [OptimizerSetting::Bool(true), OptimizerSetting::Float(0.5)];
                let changes: Vec<_> = info
                    .options
                    .iter()
                    .flat_map(|o| values.map(|value| (o.name, value)))
                    .collect();
                let mut optimizers = Vec::new();
                for (n, first) in changes.iter().enumerate() {
                    for second in &changes[n..] {
                        let mut optimizer = (info.new)();
                        let set = [first, second].map(|(name, value)| optimizer.set(name, *value).is_ok());
                        if set.contains(&true) && optimizer.check().is_ok() {
                            optimizers.push(optimizer);
                        }
                    }
                }
                for optimizer in optimizers {
                    let mut update = optimizer.update(&param, &grad, &State::default()).unwrap();
                    for gating in [Gating::Open, Gating::Counted { turn: 1, first: 0 }] {
                        update.gating = gating;
                        list.extend(of(plan_update(&update, &DEFAULT_LIMITS, &tuning).unwrap()));
                    }
                }
            }
        }
    }
    list
}
