//! Every tile once, and the tiles where they were.

use wgloss::plan::{Plan, plan, plan_reduce};
use wgloss::problem::{Family, Problem};
use wgloss::{
    BceWithLogits, Call, Dtype, Error, Info, Limits, Loss, Mode, REGISTRY, ReduceOp, Reduction, Role, Tensor, View,
};

use super::{SMALL_HARDWARE, class_problem, sizes};
use crate::common::cases::{DTYPES, Setup, Style, by_rows, make};
use crate::common::plans::{DEFAULT_LIMITS, SMALL, TINY, keeps, verify};

/// The problems of a loss in a shape: dtypes, reductions and modes in turn.
fn problems(info: &Info, shape: &[usize]) -> Vec<Problem> {
    let mut list = Vec::new();
    for (n, mode) in [Mode::Forward, Mode::Backward, Mode::Fused, Mode::Fused]
        .into_iter()
        .enumerate()
    {
        for (k, (dtype, other)) in DTYPES.into_iter().enumerate() {
            let setup = Setup {
                dtype,
                other,
                labels: Dtype::LABELS[(n + k) % 4],
                full: (n + k) % 2 == 0,
                given: k % 2 == 0,
                reduction: info.reductions[(n + k) % info.reductions.len()],
                setting: if (n + k) % 2 == 0 { by_rows(info) } else { Vec::new() },
                style: Style::Zeros,
                seed: 0,
                ..Setup::new(shape)
            };
            let Some(mut case) = make(info, &setup) else { continue };
            if info.statistics && n == 3 {
                (case.stats.lse, case.stats.argmax) = (true, true);
            }
            if let Ok(mut problem) = case.loss.problem(&case.call(mode)) {
                problem.accumulates = mode.wants_grad() && n == 3;
                list.push(problem);
            }
        }
    }
    list
}

#[test]
fn every_loss_is_covered_once_under_tiny_limits() {
    let mut cut_losses = std::collections::BTreeSet::new();
    for shape in [
        &[2000, 7][..],
        &[1000, 100],
        &[100, 1000],
        &[7, 4000],
        &[80, 5, 33],
        &[3, 5, 2000],
        &[2, 3, 60, 50],
        &[30_000],
    ] {
        for info in REGISTRY {
            for problem in problems(info, shape) {
                for tuning in [SMALL, SMALL_HARDWARE] {
                    let prefix = format!("{}/", info.name);
                    let covered = match &problem.family {
                        Family::Rows(rows) if rows.whole.is_some() && problem.mode == Mode::Forward => {
                            &format!("reduce_{}/{}", rows.kind, problem.input().dtype)
                        }
                        _ => &prefix,
                    };
                    let whole = match plan(&problem, &DEFAULT_LIMITS, &tuning) {
                        // The square of its columns is too many.
                        Err(Error::Limit(_))
                            if info.name == "multilabel_margin" && shape.iter().any(|&n| n >= 2000) =>
                        {
                            continue;
                        }
                        whole => whole.unwrap(),
                    };
                    // Products go over their tiles as often as there are blocks.
                    if matches!(&problem.family, Family::Rows(rows) if rows.linear.is_some()) {
                        keeps(&whole, &DEFAULT_LIMITS, &sizes(&problem));
                        if let Ok(cut) = plan(&problem, &TINY, &tuning) {
                            keeps(&cut, &TINY, &sizes(&problem));
                            if cut.steps.len() > whole.steps.len() {
                                cut_losses.insert((info.name, problem.mode.name()));
                            }
                        }
                        continue;
                    }
                    verify(&whole, &DEFAULT_LIMITS, &sizes(&problem), covered);
                    let count = |plan: &Plan| {
                        plan.dispatches()
                            .filter(|d| d.variant.label.starts_with(&prefix))
                            .count()
                    };
                    match plan(&problem, &TINY, &tuning) {
                        Ok(cut) => {
                            verify(&cut, &TINY, &sizes(&problem), covered);
                            // Of what is gathered there is scratch in pieces alone.
                            if problem.mode.wants_loss() && problem.is_reduced() {
                                assert_eq!(cut.scratch.first(), whole.scratch.first(), "tiles do not move");
                            }
                            if count(&cut) > count(&whole) {
                                cut_losses.insert((info.name, problem.mode.name()));
                            }
                        }
                        // One row of everything, or slabs that copies cannot take apart.
                        Err(Error::Limit(message)) => assert!(
                            shape.len() != 2 || message.contains("4000") || message.contains("row of"),
                            "{} {shape:?}: {message}",
                            info.name
                        ),
                        Err(error) => panic!("{}: {error}", info.name),
                    }
                }
            }
        }
    }
    for info in REGISTRY {
        for mode in [Mode::Backward, Mode::Fused] {
            assert!(
                cut_losses.contains(&(info.name, mode.name())),
                "{} was never cut",
                info.name
            );
        }
    }
}

#[test]
fn rows_are_covered_once_under_tiny_limits() {
    for shape in [
        &[2000, 7][..],
        &[1000, 100],
        &[100, 1000],
        &[7, 4000],
        &[80, 5, 33],
        &[3, 5, 2000],
        &[2, 3, 60, 50],
    ] {
        for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
            for mode in Mode::ALL {
                for full in [false, true] {
                    for tuning in [SMALL, SMALL_HARDWARE] {
                        let problem = class_problem(shape, reduction, mode, full);
                        let cut = plan(&problem, &TINY, &tuning).unwrap();
                        verify(&cut, &TINY, &sizes(&problem), "cross_entropy/");
                        let whole = plan(&problem, &DEFAULT_LIMITS, &tuning).unwrap();
                        verify(&whole, &DEFAULT_LIMITS, &sizes(&problem), "cross_entropy/");
                        let count = |plan: &Plan| {
                            plan.dispatches()
                                .filter(|d| d.variant.label.starts_with("cross"))
                                .count()
                        };
                        assert!(count(&cut) > count(&whole), "{shape:?} was not cut");
                        assert_eq!(count(&whole), 1);
                    }
                }
            }
        }
    }
}

/// The rows of every dispatch lie within its windows: what the shader computes from the params, done here again.
#[test]
fn rows_reach_no_further_than_their_windows() {
    use wgloss::layout::{RowParams, Slot};
    for shape in [&[1000, 100][..], &[40, 5, 33], &[3, 5, 2000], &[3, 6000, 3]] {
        let problem = class_problem(shape, Reduction::None, Mode::Fused, true);
        for dispatch in plan(&problem, &TINY, &SMALL).unwrap().dispatches() {
            let params: RowParams = bytemuck::pod_read_unaligned(&dispatch.params);
            let consts = &dispatch.variant.consts;
            let rows = consts.iter().find_map(|own| match own {
                wgloss::shader::Const::U32("ROWS", rows) => Some(u64::from(*rows)),
                _ => None,
            });
            let per_tile = rows.expect("rows of a tile");
            let room = |slot| {
                dispatch
                    .bindings
                    .iter()
                    .find(|b| b.slot == slot)
                    .map(|b| b.size / 4)
                    .unwrap()
            };
            for tile in dispatch.tiles.0..dispatch.tiles.1 {
                for local in 0..per_tile {
                    let within = tile % u64::from(params.block_tiles) * per_tile + local;
                    let row = tile / u64::from(params.block_tiles) * u64::from(params.block_rows) + within;
                    if within >= u64::from(params.block_rows) || row >= u64::from(params.rows) {
                        continue;
                    }
                    let slab = row / u64::from(params.inner) - u64::from(params.first_slab);
                    let inner = row % u64::from(params.inner) - u64::from(params.first_inner);
                    let last = inner + u64::from(params.cols - 1) * u64::from(params.col_stride);
                    for (slot, base, stride) in [
                        (Slot::Input, params.input_base, params.input_stride),
                        (Slot::Target, params.targets_base, params.targets_stride),
                        (Slot::GradInput, params.grad_input_base, params.grad_input_stride),
                    ] {
                        let at = u64::from(base) + slab * u64::from(stride) + last;
                        assert!(at < room(slot), "{shape:?} {slot:?} row {row}: {at} of {}", room(slot));
                    }
                    assert!(u64::from(params.loss_base) + row - u64::from(params.first_row) < room(Slot::Loss));
                }
            }
        }
    }
}

#[test]
fn elements_are_covered_once_under_tiny_limits() {
    for (shape, factor) in [
        (&[100_000][..], &[][..]),
        (&[300, 400], &[400]),
        (&[300, 400], &[300, 1]),
        (&[20, 30, 40, 5], &[30, 1, 1]),
        (&[20, 30, 40, 5], &[20, 1, 40, 1]),
    ] {
        let floats = |shape: &[usize]| Tensor::new(&vec![0.0f32; shape.iter().product()], shape).unwrap();
        for (mode, reduction) in Mode::ALL
            .iter()
            .flat_map(|m| [Reduction::None, Reduction::Mean, Reduction::Sum].map(|r| (*m, r)))
        {
            let loss = BceWithLogits {
                weight: Some(floats(factor)),
                pos_weight: None,
                reduction,
            };
            let (input, target) = (floats(shape), floats(shape));
            let problem = loss.problem(&Call::new(mode, &[&input, &target])).unwrap();
            for tuning in [SMALL, SMALL_HARDWARE] {
                let cut = plan(&problem, &TINY, &tuning).unwrap();
                verify(&cut, &TINY, &sizes(&problem), "bce_with_logits/");
                assert!(cut.dispatches().filter(|d| d.variant.label.starts_with("bce")).count() > 10);
                verify(
                    &plan(&problem, &DEFAULT_LIMITS, &tuning).unwrap(),
                    &DEFAULT_LIMITS,
                    &sizes(&problem),
                    "bce",
                );
            }
        }
    }
}

#[test]
fn reductions_are_covered_once_under_tiny_limits() {
    let mut padded = View::contiguous(Dtype::F32, &[3000, 70]);
    padded.row_stride = 100;
    let mut halves = padded.clone();
    halves.dtype = Dtype::Bf16;
    for view in [
        View::contiguous(Dtype::F32, &[1_000_003]),
        View::contiguous(Dtype::F16, &[1_000_004]),
        padded,
        halves,
    ] {
        for op in ReduceOp::ALL {
            let plan = plan_reduce(op, &view, &TINY, &SMALL).unwrap();
            let bytes = view.end();
            let size_of = |role| if role == Role::Input { bytes } else { 32 };
            verify(&plan, &TINY, &size_of, &format!("reduce_{}/{}", op.name(), view.dtype));
            let last = plan.dispatches().last().unwrap();
            assert_eq!(last.tiles, (0, 1), "the last level is one tile");
        }
    }
}

/// The tiles, hence the bits, do not depend on the limits.
#[test]
fn limits_do_not_move_tiles() {
    let problem = class_problem(&[5000, 9], Reduction::Mean, Mode::Fused, false);
    let states = |limits| plan(&problem, limits, &SMALL).unwrap().scratch;
    assert_eq!(states(&TINY), states(&DEFAULT_LIMITS));
}

/// A device with 64-bit indices may say that a binding has u64::MAX bytes: plans are those of windows of 2 GiB.
#[test]
fn the_largest_limits_are_limits() {
    let boundless = wgpu::Limits {
        max_storage_buffer_binding_size: u64::MAX,
        max_buffer_size: u64::MAX,
        ..Default::default()
    };
    let limits = Limits::new(&boundless);
    assert_eq!((limits.max_binding_bytes, limits.max_buffer_bytes), (1 << 31, u64::MAX));
    let unclamped = Limits {
        max_binding_bytes: u64::MAX,
        max_dispatch_bytes: u64::MAX,
        ..limits
    };
    let usual = Limits {
        max_buffer_bytes: 4 << 30,
        ..limits
    };
    for info in REGISTRY {
        for problem in problems(info, &[300, 41]) {
            let want = plan(&problem, &usual, &SMALL).unwrap();
            for limits in [&limits, &unclamped] {
                assert_eq!(plan(&problem, limits, &SMALL).unwrap(), want, "{}", info.name);
            }
        }
    }
}
