//! Enough workgroups for a GPU, and no workgroup with too much of a later level.

use std::collections::BTreeMap;

use wgloss::optim::{Adagrad, Adam, AdamW, Optimizer, Sgd, State};
use wgloss::plan::{Dispatch, plan, plan_update};
use wgloss::shader::Const;
use wgloss::{BceWithLogits, Call, Dtype, Limits, Loss, Mode, Mse, REGISTRY, Reduction, Tensor, Tuning, View};

use crate::common::cases::{Setup, Style, make};
use crate::common::plans::DEFAULT_LIMITS;

/// Workgroups that are enough.
const ENOUGH: u64 = 512;
/// Bytes that are worth one.
const WORTH: u64 = 32 << 10;

fn tile(dispatch: &Dispatch) -> Option<u64> {
    dispatch.variant.consts.iter().find_map(|own| match own {
        Const::U32("TILE", tile) => Some(u64::from(*tile)),
        _ => None,
    })
}

fn has(dispatch: &Dispatch, path: &str) -> bool {
    dispatch.variant.pieces.iter().any(|piece| piece.path == path)
}

/// Dispatches that need not have them, with the reason.
fn waived(dispatch: &Dispatch, is_innermost: bool) -> Option<&'static str> {
    let reads = |path| has(dispatch, path);
    // Long rows of class targets that lie across are.
    let has_classes =
        reads("loss/softmax_focal.wgsl") || reads("loss/cross_entropy.wgsl") && !reads("loss/cross_entropy_prob.wgsl");
    let is_across = has_classes && dispatch.work().cols.is_some_and(|cols| cols > 2048);
    match () {
        () if reads("driver/pair.wgsl") => Some("rows of pairs are not cut: their gradients want whole sums"),
        () if reads("driver/row.wgsl") && !is_innermost && !is_across => {
            Some("columns that are not innermost are not cut")
        }
        () if reads("loss/multi_margin.wgsl") || reads("loss/multilabel_margin.wgsl") => {
            Some("each column meets all others")
        }
        () if reads("driver/product.wgsl") || reads("driver/column_sums.wgsl") => {
            Some("the depth of a product is not cut: its sums go in order")
        }
        () if reads("driver/wide_merge.wgsl") && reads("row/ordered.wgsl") => {
            Some("the states of a layer's row are merged by one workgroup")
        }
        () if reads("driver/gather.wgsl") => Some("records of one call"),
        () => None,
    }
}

/// All losses forward and with all gradients, in shapes from a few elements to many rows, few of them, and few of very
/// many columns.
#[test]
fn dispatches_have_the_workgroups_that_their_bytes_are_worth() {
    let limits = Limits {
        max_width: 1024,
        max_dispatch_bytes: 1 << 30,
        subgroup: 32,
        ..DEFAULT_LIMITS
    };
    let shapes: [&[usize]; 13] = [
        &[100, 5],
        &[100_000, 10],
        &[2000, 100],
        &[300, 1000],
        &[9000, 1000],
        &[64, 5000],
        &[300, 9000],
        &[1030, 32_000],
        &[4, 1_000_000],
        &[1, 3_000_000],
        &[8, 21, 64, 64],
        &[1, 8192, 128],
        &[1_000_000],
    ];
    let (mut failures, mut seen, mut waivers) = (Vec::new(), 0, BTreeMap::new());
    for shape in shapes {
        for (n, info) in REGISTRY.iter().enumerate() {
            let setup = Setup {
                dtype: [Dtype::F32, Dtype::Bf16][n % 2],
                reduction: info.reductions[n % info.reductions.len()],
                style: Style::Zeros,
                ..Setup::new(shape)
            };
            let Some(case) = make(info, &setup) else { continue };
            let Ok(problem) = case.loss.problem(&case.call(case.most())) else {
                continue;
            };
            // Each column of a long row beside all others is too much for any workgroup.
            let Ok(plan) = plan(&problem, &limits, &Tuning::HARDWARE) else {
                assert!(info.name.starts_with("multi"), "{} {shape:?}", info.name);
                continue;
            };
            for dispatch in plan.dispatches() {
                let bytes: u64 = dispatch.bindings.iter().map(|own| own.touched).sum();
                let (groups, least) = (dispatch.tiles.1 - dispatch.tiles.0, ENOUGH.min(bytes / WORTH));
                let label = &dispatch.variant.label;
                if groups < least {
                    match waived(dispatch, shape.len() < 3) {
                        Some(reason) => *waivers.entry(reason).or_insert(0) += 1,
                        None => failures.push(format!("{shape:?} {label}: {groups} workgroups over {bytes} bytes")),
                    }
                }
                if has(dispatch, "total/source_states.wgsl") && tile(dispatch) > Some(1024) {
                    failures.push(format!(
                        "{shape:?} {label}: a workgroup joins {:?} states",
                        tile(dispatch)
                    ));
                }
                seen += 1;
            }
        }
    }
    println!("{seen} dispatches; waived: {waivers:#?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(seen > 500, "{seen}");
}

/// Calls of several dispatches, of which none is left with a few tiles.
#[test]
fn each_dispatch_of_many_elements_has_them() {
    let limits = Limits {
        max_binding_bytes: 1 << 31,
        max_buffer_bytes: 1 << 34,
        max_dispatch_bytes: 1 << 30,
        ..DEFAULT_LIMITS
    };
    let mut failures = Vec::new();
    let mut look = |what: String, dispatch: &Dispatch| {
        // What goes over itself is read, too.
        let read_and_written = dispatch.bindings.iter().map(|own| match own.written {
            true if has(dispatch, "driver/update.wgsl") => 2 * own.touched,
            _ => own.touched,
        });
        let bytes: u64 = read_and_written.sum();
        let groups = dispatch.tiles.1 - dispatch.tiles.0;
        if groups < ENOUGH.min(bytes / WORTH) {
            failures.push(format!("{what}: {groups} workgroups over {bytes} bytes"));
        }
    };
    let mut several = 0;
    for dtype in Dtype::FLOATS {
        for len in [1_000_000usize, 40_000_000, 100_000_000, 110_000_000, 300_000_000] {
            let operand = Tensor::placeholder(dtype, &[len]).unwrap();
            for reduction in [Reduction::Mean, Reduction::None] {
                let losses: [Box<dyn Loss>; 2] = [
                    Box::new(Mse { reduction }),
                    Box::new(BceWithLogits {
                        reduction,
                        ..Default::default()
                    }),
                ];
                for (loss, mode) in losses.iter().flat_map(|loss| Mode::ALL.map(|mode| (loss, mode))) {
                    let problem = loss.problem(&Call::new(mode, &[&operand, &operand])).unwrap();
                    let plan = plan(&problem, &limits, &Tuning::HARDWARE).unwrap();
                    several += usize::from(plan.dispatches().count() > 2);
                    for dispatch in plan.dispatches() {
                        look(format!("{} {len} {dtype} {}", loss.info().name, mode.name()), dispatch);
                    }
                }
            }
            let optimizers: [&dyn Optimizer; 4] = [
                &Sgd::default(),
                &Adam::default(),
                &AdamW::default(),
                &Adagrad::default(),
            ];
            for optimizer in optimizers {
                let view = View::contiguous(dtype, &[len]);
                let update = optimizer.update(&view, &view, &State::default()).unwrap();
                let plan = plan_update(&update, &limits, &Tuning::HARDWARE).unwrap();
                for dispatch in plan.dispatches() {
                    look(format!("{} {len} {dtype}", optimizer.info().name), dispatch);
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(several > 50, "{several}");
}
