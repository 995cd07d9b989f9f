//! Variants of what is no loss: products, what `bench` times, the log of faults, optimizers' steps.

use wgloss::optim::{Gating, OPTIMIZERS, Setting as OptimizerSetting, State};
use wgloss::plan::{
    Dispatch, plan_copy, plan_gate, plan_gather, plan_multiply, plan_naive, plan_norm, plan_product, plan_rescale,
    plan_update,
};
use wgloss::{ClipGrad, Dtype, Role, Tuning, View};

use super::variants::of;
use crate::common::cases::DTYPES;
use crate::common::plans::DEFAULT_LIMITS;

/// Products of all layouts, in large tiles and small ones, of quads and single elements, cut along the depth or not.
pub fn products() -> Vec<Dispatch> {
    let mut list = Vec::new();
    for (dtype, other) in DTYPES {
        for ([rows, cols, depth], transposed) in [[8, 8, 8], [1500, 1500, 40_000], [7, 7, 7], [1501, 1501, 40_001]]
            .into_iter()
            .flat_map(|sizes| [[false, true], [false, false], [true, false]].map(|own| (sizes, own)))
        {
            let view = |lines, across: bool, dtype| {
                View::contiguous(dtype, &if across { [depth, lines] } else { [lines, depth] })
            };
            let (left, right) = (view(rows, transposed[0], dtype), view(cols, !transposed[1], other));
            let into = View::contiguous(Dtype::F32, &[rows, cols]);
            let plan = plan_product([&left, &right, &into], transposed, &DEFAULT_LIMITS).unwrap();
            list.extend(of(plan));
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
