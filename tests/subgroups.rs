//! Rows of middling length: several in a workgroup, a subgroup or part of one for each; and the two ways their states meet.

use wgloss::plan::{Plan, plan};
use wgloss::{Call, CrossEntropy, Dtype, Engine, Limits, Loss, Mode, REGISTRY, Tensor, Tuning};

use crate::common::cases::{Setup, Style, make};
use crate::common::{bits, engine, report};
use crate::plans::DEFAULT_LIMITS;

/// Two rows to a workgroup of eight; longer ones have it for themselves.
const SHARED: Tuning = Tuning {
    subgroup: 4,
    subgroup_cols: 200,
    lane_cols: 16,
    ..Tuning::SOFTWARE
};

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
    let own = labels(&plan)
        .into_iter()
        .filter(|label| label.starts_with("cross_entropy"));
    own.filter(|label| !label.contains("wide_open"))
        .next()
        .unwrap()
        .to_string()
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
        (4096, 100, with(32), hardware, "/subgroup32of256/short"),
        (4096, 1000, with(32), hardware, "/subgroup32of256"),
        (4096, 1000, with(64), hardware, "/subgroup32of256"),
        // Subgroups that are smaller, differ in size, or are not to be had.
        (4096, 1000, with(16), hardware, "/group32of256"),
        (4096, 1000, with(1), hardware, "/group32of256"),
        // So few rows would leave most of an adapter idle.
        (63, 1000, with(32), hardware, "/group256/short"),
        (64, 1000, with(32), hardware, "/subgroup32of256"),
        (64, 2000, with(32), hardware, "/group256/short"),
        (64, 5000, with(32), hardware, "/group256"),
        (8, 131_073, with(32), hardware, "/wide_fold65536/group256"),
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

/// An engine that shuffles where the device can, and one whose plans know of no subgroup.
fn ways() -> [Engine; 2] {
    let own = engine::fresh().plan_limits().unwrap();
    [own, Limits { subgroup: 1, ..own }].map(|limits| {
        let mut engine = engine::fresh();
        engine.set_tuning(SHARED).unwrap();
        engine.set_plan_limits(limits).unwrap();
        engine
    })
}

/// Every loss of rows or pairs, in tiles of two rows and of one, and in tiles of columns: through registers and through
/// memory, to the same bits.
#[test]
fn both_ways_have_the_same_bits() {
    let [shuffled, plain] = ways();
    if shuffled.plan_limits().unwrap().subgroup == 1 {
        eprintln!("no subgroups of one size on this device: nothing compared");
        return;
    }
    let (mut failures, mut total, mut shuffles) = (Vec::new(), 0, 0);
    for (n, info) in REGISTRY.iter().enumerate() {
        let shapes: [&[usize]; 4] = [&[50, 100], &[49, 131], &[30, 1000], &[3, 150_001]];
        for k in [n % 2, 2 + n / 2 % 2] {
            let shape = shapes[k];
            let setup = Setup {
                dtype: Dtype::FLOATS[(n / 2 + k) % 3],
                given: n % 3 == 0,
                style: if n % 2 == 0 { Style::Coarse } else { Style::Hard },
                reduction: info.reductions[(n + k) % info.reductions.len()],
                ..Setup::new(shape)
            };
            let Some(case) = make(info, &setup) else { continue };
            let call = case.call(case.most());
            let problem = case.loss.problem(&call).unwrap();
            let Ok(plan) = plan(&problem, &shuffled.plan_limits().unwrap(), &SHARED) else {
                continue;
            };
            let is_shuffled = labels(&plan).iter().any(|label| label.contains("/subgroup"));
            shuffles += usize::from(is_shuffled);
            let run = |engine: &Engine| bits(&case.loss.run(engine, &call).unwrap().read(engine).unwrap());
            total += 1;
            if run(&shuffled) != run(&plain) {
                failures.push(format!("{} {shape:?}", info.name));
            }
        }
    }
    assert!(shuffles > 20, "only {shuffles}");
    report(failures, total);
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
