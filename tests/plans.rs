//! Plans under tiny invented limits: every tile once, windows within limits and aligned, loops short. No device.

use wgloss::limits::MAX_ITERATIONS;
use wgloss::plan::{Dispatch, Plan, Source, Step, plan, plan_reduce};
use wgloss::problem::{Family, Problem};
use wgloss::{
    BceWithLogits, Call, CrossEntropy, Dtype, Error, Info, Limits, Loss, Mode, REGISTRY, ReduceOp, Reduction, Role,
    Tensor, Tuning, View,
};

use crate::common::cases::{DTYPES, Setup, Style, by_rows, make};
use crate::common::data::row_shape;

/// What WebGPU promises on every device.
pub const DEFAULT_LIMITS: Limits = Limits {
    max_binding_bytes: 128 << 20,
    max_buffer_bytes: 256 << 20,
    max_dispatch_bytes: 1 << 30,
    offset_alignment: 256,
    uniform_alignment: 256,
    max_groups: 65_535,
    max_width: 256,
    subgroup: 1,
};

/// Small enough that small data is cut.
pub const TINY: Limits = Limits {
    max_binding_bytes: 24 << 10,
    max_buffer_bytes: 256 << 20,
    max_groups: 7,
    ..DEFAULT_LIMITS
};

/// Tiles that fit into the bindings of [`TINY`].
pub const SMALL: Tuning = Tuning {
    tile: 512,
    lane_cols: 64,
    ..Tuning::SOFTWARE
};
/// Rows of a few tiles, the last of them short.
pub const WIDE: Tuning = Tuning {
    wide_cols: 64,
    wide_tile: 32,
    ..SMALL
};
const SMALL_HARDWARE: Tuning = Tuning {
    tile: 512,
    width: 8,
    subgroup_cols: 128,
    ..Tuning::HARDWARE
};

fn class_problem(shape: &[usize], reduction: Reduction, mode: Mode, full: bool) -> Problem {
    let input = Tensor::new(&vec![0.0f32; shape.iter().product()], shape).unwrap();
    let rows = row_shape(shape);
    let labels = Tensor::new(&vec![0i64; rows.iter().product()], &rows).unwrap();
    let loss = CrossEntropy {
        reduction,
        ..Default::default()
    };
    let target = if full { &input } else { &labels };
    let call = Call {
        grads: if full && mode.wants_grad() {
            vec![Role::Target]
        } else {
            Vec::new()
        },
        ..Call::new(mode, &[&input, target])
    };
    loss.problem(&call).unwrap()
}

/// The claims about any plan; `covered` names the dispatches whose tiles are looked at.
pub fn verify(plan: &Plan, limits: &Limits, size_of: &dyn Fn(Role) -> u64, covered: &str) {
    let (mut next, mut passes) = (0, Vec::new());
    for dispatch in plan.dispatches() {
        let label = &dispatch.variant.label;
        let groups = u64::from(dispatch.groups[0]) * u64::from(dispatch.groups[1]);
        let (first, end) = dispatch.tiles;
        assert!(
            dispatch.groups.iter().all(|&g| (1..=limits.max_groups).contains(&g)),
            "{label}"
        );
        assert!(
            groups >= end - first,
            "{label}: {groups} workgroups for tiles {first}..{end}"
        );
        assert!(
            dispatch.iterations < MAX_ITERATIONS,
            "{label}: {} iterations",
            dispatch.iterations
        );
        for binding in &dispatch.bindings {
            assert!(binding.size <= limits.max_binding_bytes, "{label} {binding:?}");
            assert!(
                binding.offset.is_multiple_of(limits.offset_alignment),
                "{label} {binding:?}"
            );
            let size = match binding.source {
                Source::Scratch(index) => plan.scratch[index],
                Source::Tensor(role) => size_of(role),
            };
            assert!(
                binding.offset + binding.size <= size.max(32),
                "{label} {binding:?} of {size}"
            );
        }
        if label.starts_with(covered) {
            // Losses and gradients may be two passes over all tiles.
            if first == 0 && next > 0 {
                passes.push(std::mem::take(&mut next));
            }
            assert_eq!(first, next, "{label}: tiles left out or done twice");
            next = end;
        }
    }
    assert!(next > 0, "nothing covered");
    assert!(passes.iter().all(|&end| end == next), "passes of different lengths");
}

/// Bytes of the tensors of a problem; buffers are a little longer.
fn sizes(problem: &Problem) -> impl Fn(Role) -> u64 {
    move |role| {
        let operand = problem
            .operands
            .iter()
            .find(|own| own.role == role)
            .map(|own| &own.view);
        let grad = problem
            .grads()
            .find(|(_, own, _)| *own == role)
            .map(|(_, _, view)| view);
        let bytes = match role {
            Role::Loss => problem.loss_shape().iter().product::<usize>() as u64 * problem.loss_dtype().bytes(),
            Role::GradOutput => problem.grad_output.as_ref().unwrap().end(),
            Role::ZLoss | Role::Lse | Role::Argmax | Role::Entropy => problem.term_count() * 4,
            Role::Correct => 4,
            Role::Control => 40,
            Role::Fault(_) => 16,
            _ => operand.or(grad).unwrap().end(),
        };
        bytes.next_multiple_of(16)
    }
}

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

/// Loop iterations of a row dispatch's longest invocation, from the loops that stand in `shaders/driver/row.wgsl` (and `pack.wgsl`, `strip.wgsl`): for
/// the statistics and again for the gradient, the blocks of 16 columns and the quads behind them, and for each quad what the
/// loss loops itself; the runs of 16 blocks of the statistics; then the tree. Zero for other drivers.
fn iterations_of(dispatch: &Dispatch, inner_loops: u64) -> u64 {
    use wgloss::shader::Const;
    let constant = |wanted: &str| {
        dispatch.variant.consts.iter().find_map(|constant| match constant {
            Const::U32(name, value) if *name == wanted => Some(u64::from(*value)),
            _ => None,
        })
    };
    let driver = dispatch.variant.pieces[0].path;
    let is_of_rows = |name: &str| ["row", "pack", "strip", "wide"].iter().any(|own| name.starts_with(own));
    if !driver.strip_prefix("driver/").is_some_and(is_of_rows) {
        return 0;
    }
    let (lanes, width) = (constant("LANES").unwrap(), constant("WIDTH").unwrap());
    let params: wgloss::layout::RowParams = bytemuck::pod_read_unaligned(&dispatch.params);
    let runs = |steps: u64| steps + steps.div_ceil(16);
    if let (Some(pack), Some(cols)) = (constant("PACK"), constant("COLS")) {
        // More than there are, since these loops are written out: read and written element by element; of each row, the
        // search for its label and three passes over its quads.
        let of_row = 2 * (1 + cols) + cols + 3 * cols.div_ceil(4);
        let packs = constant("PACKS").unwrap();
        return constant("TURNS").unwrap() / (packs * pack) * (1 + packs * (1 + pack * of_row));
    }
    if let Some(strip) = constant("STRIP") {
        let (cols, quads) = (u64::from(params.cols), u64::from(params.cols).div_ceil(4));
        return constant("TURNS").unwrap() / strip * (1 + 2 * quads + cols.div_ceil(64) + cols.div_ceil(1024));
    }
    if let Some(held) = constant("HELD") {
        // Read, folded in fours, written.
        return held + held / 4 + held + u64::from(width.ilog2());
    }
    if driver == "driver/wide_open.wgsl" {
        return 0;
    }
    if driver == "driver/wide_merge.wgsl" {
        return runs(u64::from(params.block_tiles).div_ceil(lanes)) + u64::from(width.ilog2());
    }
    // A pass over wide rows has a tile of their columns.
    let cols = constant("TILE").unwrap_or(u64::from(params.cols));
    let blocks = cols / 4 / (4 * lanes);
    let quads = (cols.div_ceil(4) - blocks * 4 * lanes).div_ceil(lanes);
    runs(blocks) + blocks + 2 * quads + 2 * (4 * blocks + quads) * inner_loops + u64::from(width.ilog2())
}

/// The loop limit, for the longest rows that a binding can hold and for every way of spreading.
#[test]
fn no_invocation_runs_long() {
    let roomy = Limits {
        max_binding_bytes: 1 << 31,
        max_buffer_bytes: 1 << 40,
        ..DEFAULT_LIMITS
    };
    for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
        for cols in [
            1,
            9,
            24,
            64,
            65,
            4096,
            15_000,
            32_000,
            63_000,
            64_000,
            100_000,
            524_288,
            1_000_003,
            16_777_216,
            33_554_432,
            400_000_000,
        ] {
            // Few rows, and so many that they share workgroups.
            for (slabs, inner) in [(2, 1), (2, 2), (2, 3), (600, 1), (2, 1156)] {
                let is_strip = (4096..100_000).contains(&cols) && inner > 1000;
                if cols > 1 << 25 && inner > 1 || cols > 4096 && (slabs > 2 || inner > 3) && !is_strip {
                    continue; // such a row goes to one workgroup
                }
                let mut problem = class_problem(&[2, 8, 2], Reduction::Mean, Mode::Fused, false);
                let Family::Rows(rows) = &mut problem.family else {
                    panic!("rows");
                };
                (rows.slabs, rows.cols, rows.inner) = (slabs, cols, inner);
                let input = View::contiguous(Dtype::F32, &[slabs, cols, inner]);
                problem.operands[0].grad = Some(input.clone());
                problem.operands[0].view = input;
                problem.operands[1].view = View::contiguous(Dtype::I64, &[slabs, inner]);
                for dispatch in plan(&problem, &roomy, &tuning).unwrap().dispatches() {
                    let counted = iterations_of(dispatch, 0);
                    assert!(
                        counted <= dispatch.iterations && dispatch.iterations < MAX_ITERATIONS,
                        "{cols} classes: {}",
                        dispatch.iterations
                    );
                }
            }
        }
    }
}

/// A loss that loops over the columns for each of them counts that, up to where it is refused.
#[test]
fn no_invocation_with_loops_of_its_own_runs_long() {
    let info = wgloss::find("multilabel_margin").unwrap();
    let mut refused = 0;
    for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
        for cols in [1, 5, 64, 65, 100, 500, 1000, 3000, 10_000, 30_000] {
            let setup = Setup {
                style: Style::Zeros,
                ..Setup::new(&[2, cols])
            };
            let case = make(info, &setup).unwrap();
            let problem = case.loss.problem(&case.call(Mode::Fused)).unwrap();
            let Family::Rows(rows) = &problem.family else {
                panic!("rows");
            };
            match plan(&problem, &DEFAULT_LIMITS, &tuning) {
                Err(Error::Limit(_)) => refused += 1,
                other => {
                    for dispatch in other.unwrap().dispatches() {
                        let counted = iterations_of(dispatch, rows.inner_loops);
                        assert!(
                            counted <= dispatch.iterations && dispatch.iterations < MAX_ITERATIONS,
                            "{}: {counted} of {}",
                            dispatch.variant.label,
                            dispatch.iterations
                        );
                    }
                }
            }
        }
    }
    assert!(refused > 0 && refused < 10, "{refused}");
}

/// A slab larger than a binding is gathered: every copy within its buffers, every class of every row copied.
#[test]
fn slabs_larger_than_a_binding_are_gathered() {
    let problem = class_problem(&[2, 7, 3000], Reduction::Sum, Mode::Fused, false);
    let plan = plan(&problem, &TINY, &SMALL).unwrap();
    verify(&plan, &TINY, &sizes(&problem), "cross_entropy/");
    let (mut read, mut written) = (0, 0);
    for step in &plan.steps {
        let Step::Copy(copy) = step else { continue };
        for (source, offset) in [(copy.from, copy.from_offset), (copy.to, copy.to_offset)] {
            let size = match source {
                Source::Scratch(index) => plan.scratch[index],
                Source::Tensor(_) => problem.input().end(),
            };
            assert!(offset + copy.size <= size && offset.is_multiple_of(4) && copy.size.is_multiple_of(4));
        }
        if copy.from == Source::Tensor(Role::Input) {
            read += copy.size;
        }
        if copy.to == Source::Tensor(Role::Grad(0)) {
            written += copy.size;
        }
    }
    assert_eq!((read, written), (problem.input().end(), problem.input().end()));
}

/// What a dispatch touches of a slab are the elements of its rows, not all from the first to the last of them: a slab larger than a
/// dispatch may touch goes in as many pieces as it has budgets, not tile by tile. So does one that lies in two buffers.
#[test]
fn slabs_larger_than_a_dispatch_go_in_large_pieces() {
    let problem = class_problem(&[2, 40, 64, 64], Reduction::Mean, Mode::Fused, false);
    let bytes = problem.input().end();
    for max_buffer_bytes in [DEFAULT_LIMITS.max_buffer_bytes, bytes / 4 * 3] {
        let limits = Limits {
            max_dispatch_bytes: 512 << 10,
            max_buffer_bytes,
            ..DEFAULT_LIMITS
        };
        let plan = plan(&problem, &limits, &SMALL).unwrap();
        verify(&plan, &limits, &sizes(&problem), "cross_entropy/");
        let losses: Vec<_> = plan
            .dispatches()
            .filter(|own| own.variant.label.starts_with("cross_entropy/"))
            .collect();
        let touched = |own: &Dispatch| own.bindings.iter().map(|binding| binding.touched).sum::<u64>();
        // Input and gradient, labels of eight bytes; a slab in two buffers is brought together besides.
        let all = 2 * bytes + bytes / 40 * 2;
        if max_buffer_bytes > bytes {
            let sum: u64 = losses.iter().map(|own| touched(own)).sum();
            assert!((all..all + all / 100).contains(&sum), "{sum} bytes of {all}");
            assert!(losses.iter().all(|own| touched(own) <= limits.max_dispatch_bytes));
        }
        // A piece of each slab may be small.
        assert!(
            losses.len() as u64 <= all / limits.max_dispatch_bytes + 3,
            "{} dispatches",
            losses.len()
        );
    }
}

#[test]
fn what_no_splitting_helps_is_an_error() {
    let problem = class_problem(&[2, 8192], Reduction::Mean, Mode::Forward, false);
    let error = plan(&problem, &TINY, &SMALL).unwrap_err();
    assert!(
        matches!(&error, Error::Limit(message) if message.contains("8192") && message.contains("24576") && message.contains("131072")),
        "{error}"
    );
}

/// Wide rows under limits that cut them: every tile of every pass once, windows of the tiles' columns alone, and the tiles
/// where they were.
#[test]
fn wide_rows_are_covered_once_under_tiny_limits() {
    let limits = Limits {
        max_binding_bytes: 1024,
        ..TINY
    };
    for shape in [&[1, 1000][..], &[5, 999], &[40, 130]] {
        for (reduction, full) in [
            (Reduction::None, false),
            (Reduction::Mean, false),
            (Reduction::Sum, true),
        ] {
            for mode in Mode::ALL {
                let problem = class_problem(shape, reduction, mode, full);
                let whole = plan(&problem, &DEFAULT_LIMITS, &WIDE).unwrap();
                let cut = plan(&problem, &limits, &WIDE).unwrap();
                assert_eq!(whole.scratch, cut.scratch, "tiles do not move");
                let (rows, tiles) = (shape[0] as u64, shape[0] as u64 * shape[1].div_ceil(32) as u64);
                let passes = [
                    ("open", tiles, !full),
                    ("fold", tiles, true),
                    ("merge", rows, true),
                    ("put", tiles, mode.wants_grad()),
                ];
                for (pass, count, wanted) in passes {
                    let path = format!("driver/wide_{pass}.wgsl");
                    let of = |plan: &Plan| {
                        let steps = plan.dispatches().filter(|d| d.variant.pieces[0].path == path);
                        steps.cloned().collect::<Vec<_>>()
                    };
                    assert_eq!(of(&whole).len(), usize::from(wanted), "{pass}");
                    let (mut next, cut) = (0, of(&cut));
                    for dispatch in &cut {
                        assert_eq!(dispatch.tiles.0, next, "{shape:?} {pass}");
                        next = dispatch.tiles.1;
                        let counted = iterations_of(dispatch, 0);
                        assert!(counted <= dispatch.iterations && dispatch.iterations < MAX_ITERATIONS);
                        for binding in &dispatch.bindings {
                            assert!(
                                binding.size <= 1024 && binding.offset.is_multiple_of(256),
                                "{binding:?}"
                            );
                        }
                    }
                    assert_eq!(next, if wanted { count } else { 0 }, "{shape:?} {pass}");
                    assert!(
                        cut.len() > 1 || !wanted || pass == "merge",
                        "{shape:?} {pass} is not cut"
                    );
                }
            }
        }
    }
}
