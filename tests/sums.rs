//! Long sums: the order of their additions is the one that `precision` tells, and keeps them near those of f64.

use wgloss::plan::plan;
use wgloss::shader::Const;
use wgloss::{
    Call, CrossEntropy, Engine, L1, Limits, Loss, Mode, Nll, Reduce, ReduceOp, Reduction, Tensor, Tuning, precision,
};

use crate::common::plans::DEFAULT_LIMITS;
use crate::common::{gpu, hardware, report};

/// Hundreds of tiles; `wgloss check --exhaustive` has 10^8 terms.
const LEN: usize = (1 << 22) + 13;

/// The sum, the mean, a loss of elements and one of rows: every way into the reduce driver.
#[test]
fn sums_stay_within_a_millionth() {
    let mut failures = Vec::new();
    let labels = Tensor::new(&vec![1u8; LEN / 4], &[LEN / 4]).unwrap();
    let zero = Tensor::new(&[0f32], &[1]).unwrap();
    for (name, term) in precision::HARD_TERMS {
        let data: Vec<f32> = (0..LEN).map(|i| term(i, LEN)).collect();
        let host = Tensor::new(&data, &[LEN]).unwrap();
        let table = Tensor::new(&data[..LEN / 4 * 4], &[LEN / 4, 4]).unwrap();
        let wide = data.iter().map(|&x| f64::from(x));
        let (sum, size) = (wide.clone().sum::<f64>(), wide.clone().map(f64::abs).sum::<f64>());
        let picked = wide.skip(1).step_by(4).take(LEN / 4);
        let (picked, picked_size) = (picked.clone().sum::<f64>(), picked.map(f64::abs).sum::<f64>());
        for (tuning, engine) in [("software", gpu()), ("hardware", hardware())] {
            let x = engine.upload(&host).unwrap();
            let mut check = |what: &str, loss: &dyn Loss, tensors: &[&Tensor], want: f64, size: f64| {
                let got = loss
                    .forward(engine, tensors)
                    .unwrap()
                    .read(engine)
                    .unwrap()
                    .scalar()
                    .unwrap();
                let error = (f64::from(got) - want).abs() / size;
                if error.is_nan() || error > precision::SUM {
                    failures.push(format!(
                        "{what} of {name}, {tuning}: off by {error:.1e} of the magnitudes"
                    ));
                }
            };
            let mean = Reduce {
                op: ReduceOp::Mean,
                ..Default::default()
            };
            let l1 = L1 {
                reduction: Reduction::Sum,
            };
            let nll = Nll {
                reduction: Reduction::Sum,
                ..Default::default()
            };
            let n = LEN as f64;
            check("sum", &Reduce::default(), &[&x], sum, size);
            check("mean", &mean, &[&x], sum / n, size / n);
            check("l1", &l1, &[&x, &zero], size, size);
            check("nll", &nll, &[&table, &labels], -picked, picked_size);
        }
    }
    report(failures, 8 * precision::HARD_TERMS.len());
}

/// A number with the roundings on its longest way.
#[derive(Clone, Copy)]
struct Rounded(f32, u32);

impl Rounded {
    /// Nothing, which adds no rounding.
    const ZERO: Self = Self(0.0, 0);

    fn plus(self, other: Self) -> Self {
        match (self.0 == 0.0, other.0 == 0.0) {
            (_, true) => self,
            (true, _) => other,
            _ => Self(self.0 + other.0, 1 + self.1.max(other.1)),
        }
    }
}

/// The first of so many numbers takes the one in the middle in, and so on, until one is left.
fn halved(mut list: Vec<Rounded>) -> Rounded {
    while list.len() > 1 {
        let (low, high) = list.split_at(list.len() / 2);
        list = low.iter().zip(high).map(|(a, b)| a.plus(*b)).collect();
    }
    list[0]
}

/// The sum of terms, none of them 0, in the order that the documentation of `precision` tells, level upon level of such
/// tiles.
fn in_order(terms: &[Rounded], tiles: &[usize], tuning: &Tuning) -> Rounded {
    let width = tuning.width as usize;
    let of_tile = |terms: &[Rounded], tile: usize| {
        let at = |i: usize| terms.get(i).copied().unwrap_or(Rounded::ZERO);
        let lanes: Vec<Rounded> = (0..width)
            .map(|lane| {
                let mut runs: Vec<Rounded> = (0..tile / (4 * width))
                    .map(|quad| 4 * (quad * width + lane))
                    .map(|i| at(i).plus(at(i + 1)).plus(at(i + 2).plus(at(i + 3))))
                    .collect();
                for _ in 0..3 {
                    runs = runs
                        .chunks(4)
                        .map(|run| run.iter().fold(Rounded::ZERO, |a, b| a.plus(*b)))
                        .collect();
                }
                runs.into_iter().fold(Rounded::ZERO, Rounded::plus)
            })
            .collect();
        let groups = lanes.chunks(tuning.subgroup as usize).map(|own| halved(own.to_vec()));
        halved(groups.collect())
    };
    let mut states = terms.to_vec();
    for &tile in tiles {
        states = states.chunks(tile).map(|own| of_tile(own, tile)).collect();
    }
    assert_eq!(states.len(), 1, "{tiles:?}");
    states[0]
}

/// The tiles of a call's levels.
fn tiles(engine: &Engine, loss: &dyn Loss, tensors: &[&Tensor]) -> Vec<usize> {
    let problem = loss.problem(&Call::new(Mode::Forward, tensors)).unwrap();
    let plan = plan(&problem, &engine.plan_limits().unwrap(), &engine.tuning().unwrap()).unwrap();
    let tile = |own: &Const| match own {
        Const::U32("TILE", tile) => Some(*tile as usize),
        _ => None,
    };
    plan.dispatches()
        .filter_map(|own| own.variant.consts.iter().find_map(tile))
        .collect()
}

#[test]
fn the_order_of_additions_is_the_one_told() {
    let zero = Tensor::new(&[0f32], &[1]).unwrap();
    for n in [1, 2, 5, 1000, 8192, 8193, 100_003, 16_384 * 9 + 1, 8192 * 33 + 5] {
        let data: Vec<f32> = (0..n).map(|i| 0.01 + (precision::HARD_TERMS[1].1)(i, n)).collect();
        let terms: Vec<Rounded> = data.iter().map(|&x| Rounded(x, 0)).collect();
        let x = Tensor::new(&data, &[n]).unwrap();
        for (engine, tuning) in [(gpu(), own_tuning(gpu())), (hardware(), Tuning::HARDWARE)] {
            let tuning = tuning.within(&engine.plan_limits().unwrap());
            let sum = Reduce::default();
            let Rounded(want, depth) = in_order(&terms, &tiles(engine, &sum, &[&x]), &tuning);
            let values = sum.forward(engine, &[&x]).unwrap().read(engine).unwrap();
            assert_eq!(values.scalar(), Some(want), "{n} terms, {tuning:?}");
            assert!(
                depth <= precision::sum_depth(n as u64, 4, &tuning),
                "{n} terms, {tuning:?}: {depth} roundings"
            );
            // Losses of elements lie in tiles, too.
            let l1 = L1 {
                reduction: Reduction::Sum,
            };
            let Rounded(want, _) = in_order(&terms, &tiles(engine, &l1, &[&x, &zero]), &tuning);
            let values = l1.forward(engine, &[&x, &zero]).unwrap().read(engine).unwrap();
            assert_eq!(values.scalar(), Some(want), "losses of {n} terms, {tuning:?}");
        }
    }
}

fn own_tuning(engine: &Engine) -> Tuning {
    Tuning::of(engine.adapter_info().unwrap())
}

/// The numbers in the tables of `precision`.
#[test]
fn the_depths_are_those_told() {
    let tunings = [Tuning::SOFTWARE, Tuning::HARDWARE];
    let logits = Tensor::new(&vec![0f32; 1_000_000], &[1, 1_000_000]).unwrap();
    let target = Tensor::new(&[0i64], &[1]).unwrap();
    let each = CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    };
    let wide = each.problem(&Call::new(Mode::Forward, &[&logits, &target])).unwrap();
    let depths = |depth: fn(&Tuning) -> u32| tunings.map(|tuning| depth(&tuning));
    assert_eq!(
        depths(|t| precision::lane_depth((t.tile / (4 * t.width)).into())),
        [12, 6]
    );
    assert_eq!(depths(|t| precision::sum_depth(t.tile.into(), 0, t)), [17, 16]);
    assert_eq!(depths(|t| precision::sum_depth(100_000_000, 4, t)), [35, 30]);
    assert_eq!(depths(|t| precision::row_depth(32_000, t.row_width)), [39, 21]);
    let of_wide = |t: &Tuning| {
        precision::loss_depth(
            &wide,
            &Limits {
                max_width: 1024,
                ..DEFAULT_LIMITS
            },
            t,
        )
        .unwrap()
    };
    assert_eq!(tunings.map(|t| of_wide(&t)), [46, 24]);
    assert_eq!(
        [1, 2, 4, 5].map(|n| precision::sum_depth(n, 4, &tunings[0])),
        [0, 1, 2, 3]
    );
}
