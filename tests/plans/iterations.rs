//! Loops short enough for every adapter, of wide rows too.

use wgloss::limits::MAX_ITERATIONS;
use wgloss::plan::{Dispatch, Plan, plan};
use wgloss::problem::Family;
use wgloss::{Dtype, Error, Limits, Mode, Reduction, Tuning, View};

use super::class_problem;
use crate::common::cases::{Setup, Style, make};
use crate::common::plans::{DEFAULT_LIMITS, TINY, WIDE};

fn variant_flag(dispatch: &Dispatch, name: &str) -> bool {
    use wgloss::shader::Const;
    let is = |own: &Const| matches!(own, Const::Bool(own, true) if *own == name);
    dispatch.variant.consts.iter().any(is)
}

/// Loop iterations of a row dispatch's longest invocation, from the loops that stand in `shaders/driver/row.wgsl` (and
/// `pack.wgsl`, `strip.wgsl`): for the statistics and again for the gradient, the blocks of 16 columns and the quads
/// behind them, and for each quad what the loss loops itself; the runs of 16 blocks of the statistics; then the tree.
/// Zero for other drivers.
fn iterations_of(dispatch: &Dispatch, inner_loops: u64) -> u64 {
    use wgloss::shader::Const;
    let constant = |wanted: &str| {
        dispatch.variant.consts.iter().find_map(|constant| match constant {
            Const::U32(name, value) if *name == wanted => Some(u64::from(*value)),
            _ => None,
        })
    };
    let driver = dispatch.variant.pieces[0].path;
    let is_of_rows = |name: &str| {
        ["row", "pack", "strip", "wide", "across"]
            .iter()
            .any(|own| name.starts_with(own))
    };
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
    if constant("HELD").is_some() {
        return u64::from(width.ilog2()); // what goes over a lane's quads is written out
    }
    if driver.ends_with("_open.wgsl") {
        return 0;
    }
    if driver == "driver/wide_merge.wgsl" {
        return runs(u64::from(params.block_tiles).div_ceil(lanes)) + u64::from(width.ilog2());
    }
    // A pass over wide rows has a tile of their columns.
    let cols = constant("TILE").unwrap_or(u64::from(params.cols));
    // Of two rows that share words, half of the lanes take the quads of both, one after the other.
    if variant_flag(dispatch, "PAIRS") {
        return cols.div_ceil(4).div_ceil(2 * width / constant("BESIDE").unwrap());
    }
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

/// Wide rows under limits that cut them: every tile of every pass once, windows of the tiles' columns alone, and the
/// tiles where they were.
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
