//! Rows of middling length: several in a workgroup, a subgroup or part of one for each; and the two ways their states
//! meet.

use wgloss::plan::{Plan, plan};
use wgloss::shader::Piece;
use wgloss::{Call, CrossEntropy, Dtype, Engine, Limits, Loss, Mode, REGISTRY, Tensor, Tuning};

use crate::common::cases::{Setup, Style, make};
use crate::common::plans::DEFAULT_LIMITS;
use crate::common::{bits, engine, is_long, report, takes};

/// Two rows to a workgroup, of half of its lanes each: two subgroups of eight, or halves of one. Longer rows have it
/// alone. And eight rows, with long ones merged from several groups, as GPUs have them.
const SHARED: [Tuning; 3] = [shared(16, 8), shared(8, 4), shared(64, 8)];

const fn shared(row_width: u32, subgroup: u32) -> Tuning {
    Tuning {
        row_width,
        subgroup,
        subgroup_cols: 200,
        lane_cols: 16,
        block_tails: 1,
        ..Tuning::SOFTWARE
    }
}

fn labels(plan: &Plan) -> Vec<&str> {
    plan.dispatches().map(|own| own.variant.label.as_str()).collect()
}

fn entropy(rows: usize, cols: usize, limits: &Limits, tuning: &Tuning) -> String {
    let input = Tensor::new(&vec![0.0f32; rows * cols], &[rows, cols]).unwrap();
    let targets = Tensor::new(&vec![0i64; rows], &[rows]).unwrap();
    let loss = CrossEntropy::default();
    let problem = loss.problem(&Call::new(Mode::Forward, &[&input, &targets])).unwrap();
    let plan = plan(&problem, limits, tuning).unwrap();
    // Wide rows are opened first.
    let is_own = |label: &&str| label.starts_with("cross_entropy") && !label.contains("wide_open");
    labels(&plan).into_iter().find(is_own).unwrap().to_string()
}

/// Each regime where shape, class of adapter and its features have it.
#[test]
fn rows_go_to_lanes_subgroups_workgroups_or_several() {
    let with = |subgroup| Limits {
        subgroup,
        ..DEFAULT_LIMITS
    };
    let (hardware, software) = (Tuning::HARDWARE, Tuning::SOFTWARE);
    for (rows, cols, limits, tuning, way) in [
        (4096, 10, with(32), hardware, "/lane64/"),
        (4096, 100, with(32), hardware, "/subgroup32of256/short/held1"),
        (4096, 1000, with(32), hardware, "/subgroup32of256"),
        (4096, 1000, with(64), hardware, "/subgroup32of256"),
        // Subgroups that are smaller, differ in size, or are not to be had.
        (4096, 1000, with(16), hardware, "/group32of256"),
        (4096, 1000, with(1), hardware, "/group32of256"),
        // So few rows would leave most of an adapter idle.
        (511, 1000, with(32), hardware, "/subgroups256/short"),
        (512, 1000, with(32), hardware, "/subgroups256/short"),
        (1024, 1000, with(32), hardware, "/subgroups256/short"),
        (2048, 1000, with(32), hardware, "/subgroups256/short"),
        (4096, 1000, with(32), hardware, "/subgroup32of256"),
        (512, 2000, with(32), hardware, "/subgroups256/short"),
        (512, 5000, with(32), hardware, "/subgroups256/held5"),
        (512, 5000, with(8), hardware, "/group256/held5"),
        (512, 9000, with(32), hardware, "/subgroups256/held9"),
        (512, 16_385, with(32), hardware, "/subgroups512/held9"),
        (512, 32_768, with(64), hardware, "/subgroups512/held16"),
        (512, 32_769, with(32), hardware, "/subgroups512"),
        (512, 32_769, with(1), hardware, "/group512"),
        // Cut into tiles, for more workgroups.
        (64, 5000, with(32), hardware, "/wide_fold4096/subgroups256"),
        (8, 131_073, with(32), hardware, "/wide_fold4096/subgroups256"),
        (64, 4096, with(8), software, "/lane8"),
        (64, 5000, with(8), software, "/subgroup8"),
        (64, 5000, with(4), software, "/group8"),
        (63, 4096, with(8), software, "/subgroup8"),
        (8, 131_073, with(8), software, "/wide_fold65536/subgroup8"),
    ] {
        let label = entropy(rows, cols, &limits, &tuning);
        assert!(label.contains(way), "{rows}×{cols}: {label}, expected {way}");
    }
}

/// Every loss of rows or pairs, in tiles of two rows and of one, in tiles of columns, and along other dimensions:
/// states merged through registers or through memory, to the same bits; rows held or read twice, in the same order of
/// additions.
#[test]
fn all_ways_have_one_order() {
    let own = engine::fresh().plan_limits().unwrap();
    let engines = SHARED.map(|tuning| {
        [(1, 0), (own.subgroup, 0), (1, 8), (own.subgroup, 8)].map(|(subgroup, held)| {
            let mut engine = engine::fresh();
            engine.set_tuning(Tuning { held, ..tuning }).unwrap();
            engine.set_plan_limits(Limits { subgroup, ..own }).unwrap();
            engine
        })
    });
    let shapes: [&[usize]; 6] = [
        &[130, 100],
        &[129, 127],
        &[30, 1000],
        &[3, 150_001],
        &[40, 30],
        &[6, 19, 7],
    ];
    let (mut failures, mut total, mut ran) = (Vec::new(), 0, [0; 3]);
    for (n, info) in REGISTRY.iter().enumerate() {
        let all = [n % 2, 2 + n / 2 % 2, 4 + n % 2].into_iter().enumerate();
        for k in all.filter(|(place, _)| takes(n + 2 * place, 6)).map(|(_, k)| k) {
            let setup = Setup {
                dtype: Dtype::FLOATS[(n / 2 + k) % 3],
                given: n % 3 == 0,
                style: if n % 2 == 0 { Style::Coarse } else { Style::Hard },
                reduction: info.reductions[(n + k) % info.reductions.len()],
                ..Setup::new(shapes[k])
            };
            let Some(case) = make(info, &setup) else { continue };
            let call = case.call(case.most());
            let problem = case.loss.problem(&call).unwrap();
            let run = |engine: &Engine| bits(&case.loss.run(engine, &call).unwrap().read(engine).unwrap());
            let mut expected = None;
            let [plain, shuffled, holding, both] = &engines[n / 4 % 3];
            for (way, (engine, mark)) in [(shuffled, "/subgroup"), (holding, "/held"), (both, "/held")]
                .into_iter()
                .enumerate()
            {
                let (limits, tuning) = (engine.plan_limits().unwrap(), engine.tuning().unwrap());
                let plan = plan(&problem, &limits, &tuning).unwrap();
                if !labels(&plan).iter().any(|label| label.contains(mark)) {
                    continue;
                }
                ran[way] += 1;
                total += 1;
                let (got, expected) = (run(engine), expected.get_or_insert_with(|| run(plain)));
                let differ: Vec<_> = got.iter().zip(&*expected).filter(|(a, b)| a != b).collect();
                // Where rows are held, a compiler may fuse another multiplication: llvmpipe does, in one of these
                // losses.
                let is_fused = mark == "/held"
                    && 1000 * differ.len() < got.len()
                    && differ.iter().all(|(a, b)| a.abs_diff(**b) <= 4);
                // And of the derivative of softmax, a product that is added in the tree: small numbers that are left of
                // large ones come out otherwise, by little beside those.
                let number = |word: &u32| f32::from_bits(*word);
                let largest = got.iter().map(|own| number(own).abs()).fold(0.0, f32::max);
                let near = |(a, b): &(&u32, &u32)| (number(a) - number(b)).abs() <= 1e-6 * largest;
                let is_fused = is_fused || info.name == "softmax" && differ.iter().all(near);
                if !(differ.is_empty() || is_fused) || got.len() != expected.len() {
                    let most = differ.iter().map(|(a, b)| a.abs_diff(**b)).max();
                    let name = format!("{} {:?} {mark}", info.name, shapes[k]);
                    failures.push(format!("{name}: {} words, by {most:?} at most", differ.len()));
                }
            }
        }
    }
    report(failures, total);
    let share = if is_long() { 1 } else { 6 };
    assert!(ran[1] > 10 / share, "{ran:?}");
    match own.subgroup {
        1 => eprintln!("no subgroups of one size on this device"),
        // Subgroups of 4 suit one of the two tunings.
        4 => assert!(ran[0] > 3 / share, "{ran:?}"),
        _ => assert!(ran[0] > 15 / share, "{ran:?}"),
    }
}

/// A state without one would go through memory, and nobody would notice.
#[test]
fn every_state_of_rows_and_pairs_has_a_shuffle() {
    let limits = Limits {
        subgroup: 8,
        ..DEFAULT_LIMITS
    };
    let (mut seen, mut sums, mut faults) = (0, 0, 0);
    for info in REGISTRY {
        for shape in [&[30, 100][..], &[1030, 10], &[2, 40, 1028]] {
            let setup = Setup {
                reduction: info.reductions[info.reductions.len() - 1],
                ..Setup::new(shape)
            };
            let Some(case) = make(info, &setup) else { continue };
            let problem = case.loss.problem(&case.call(case.most())).unwrap();
            for dispatch in plan(&problem, &limits, &Tuning::SOFTWARE).unwrap().dispatches() {
                let has = |path: &str| dispatch.variant.pieces.iter().any(|piece| piece.path == path);
                faults += usize::from(has("lanes/fault_subgroup.wgsl"));
                let drivers = [
                    "driver/row",
                    "software/pack",
                    "software/strip",
                    "driver/pair",
                    "driver/elementwise",
                ];
                if drivers.iter().any(|own| has(&format!("{own}.wgsl"))) {
                    assert!(!has("lanes/tree_workgroup.wgsl"), "{}", dispatch.variant.label);
                    assert!(!has("lanes/sum_workgroup.wgsl"), "{}", dispatch.variant.label);
                    assert!(!has("lanes/fault_workgroup.wgsl"), "{}", dispatch.variant.label);
                    seen += usize::from(has("lanes/tree_subgroup.wgsl"));
                    sums += usize::from(has("lanes/sum_subgroup.wgsl"));
                }
            }
        }
    }
    assert!(seen > 10, "{seen}");
    assert!(sums > 5, "{sums}");
    assert!(faults > 0);
}

/// Where lanes may not read each other's registers no kernel does, whatever the widths.
#[test]
fn no_shuffle_without_subgroups() {
    let limits = Limits {
        subgroup: 1,
        ..DEFAULT_LIMITS
    };
    for width in [1, 4, 8] {
        let tuning = Tuning {
            width,
            row_width: width,
            subgroup: width,
            ..Tuning::SOFTWARE
        };
        for info in REGISTRY {
            for shape in [&[30, 100][..], &[1030, 10]] {
                let Some(case) = make(info, &Setup::new(shape)) else {
                    continue;
                };
                let problem = case.loss.problem(&case.call(case.most())).unwrap();
                for dispatch in plan(&problem, &limits, &tuning).unwrap().dispatches() {
                    let shuffles = |piece: &Piece| piece.path.starts_with("lanes/") && piece.path.contains("_subgroup");
                    let label = &dispatch.variant.label;
                    assert!(!dispatch.variant.pieces.iter().any(shuffles), "width {width}: {label}");
                }
            }
        }
    }
}

#[test]
fn subgroups_that_a_device_does_not_have_are_refused() {
    let mut engine = engine::fresh();
    let own = engine.plan_limits().unwrap();
    let wrong = Limits {
        subgroup: 2 * own.subgroup,
        ..own
    };
    let error = engine.set_plan_limits(wrong).unwrap_err().to_string();
    assert!(error.contains("subgroup"), "{error}");
    engine.set_plan_limits(Limits { subgroup: 1, ..own }).unwrap();
}
