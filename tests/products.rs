//! Products of matrices: every layout and dtype against f64, tails, quads and single elements; the bits of an element
//! hang on its two lines alone, whatever the tile, the cut or the rest of the matrices.

use wgloss::limits::MAX_ITERATIONS;
use wgloss::plan::{Dispatch, Plan, plan_multiply, plan_product};
use wgloss::{Dtype, Engine, Error, Limits, Role, Tensor, Tuning, View};

use crate::common::cases::DTYPES;
use crate::common::engine::{cut, fresh};
use crate::common::gpu;
use crate::common::own::tensor;
use crate::common::plans::DEFAULT_LIMITS;

/// Left and right as they lie, whether each is transposed, and the sizes of rows, columns and depth.
struct Case {
    operands: [Tensor; 2],
    transposed: [bool; 2],
    sizes: [usize; 3],
}

/// The layouts: of a forward, of the gradient of the input, and of the weight.
const LAYOUTS: [[bool; 2]; 3] = [[false, true], [false, false], [true, false]];

impl Case {
    fn new(sizes: [usize; 3], transposed: [bool; 2], dtypes: (Dtype, Dtype)) -> Self {
        let [rows, cols, depth] = sizes;
        let shape = |lines: usize, across: bool| if across { [depth, lines] } else { [lines, depth] };
        let operand = |seed, shape: [usize; 2], dtype| tensor(seed, &shape).to_dtype(dtype).unwrap();
        Self {
            operands: [
                operand(1, shape(rows, transposed[0]), dtypes.0),
                operand(2, shape(cols, !transposed[1]), dtypes.1),
            ],
            transposed,
            sizes,
        }
    }

    fn run(&self, engine: &Engine) -> Vec<f32> {
        let [left, right] = [0, 1].map(|side: usize| engine.upload(&self.operands[side]).unwrap());
        let [rows, cols, _] = self.sizes;
        let nan = Tensor::new(&vec![f32::NAN; rows * cols], &[rows, cols]).unwrap();
        let into = engine.upload(&nan).unwrap();
        let stopwatch = engine.stopwatch_product([&left, &right], self.transposed, &into);
        let stopwatch = stopwatch.unwrap();
        assert!(stopwatch.plan().dispatches().all(|own| own.iterations < MAX_ITERATIONS));
        stopwatch.once().unwrap();
        stopwatch.tensor(Role::Loss).unwrap().read(engine).unwrap()
    }

    /// Elements whose error is more than additions in any order can make.
    fn wrong(&self, got: &[f32]) -> Vec<String> {
        let [rows, cols, depth] = self.sizes;
        let numbers = |own: &Tensor| own.to_dtype(Dtype::F32).unwrap().read::<f32>(&Engine::cpu()).unwrap();
        let [left, right] = [0, 1].map(|side: usize| numbers(&self.operands[side]));
        let at = |list: &[f32], lines: usize, across: bool, line: usize, k: usize| {
            f64::from(if across {
                list[k * lines + line]
            } else {
                list[line * depth + k]
            })
        };
        let mut wrong = Vec::new();
        for r in 0..rows {
            for c in 0..cols {
                let (mut sum, mut size) = (0.0, 0.0);
                for k in 0..depth {
                    let own = at(&left, rows, self.transposed[0], r, k) * at(&right, cols, !self.transposed[1], c, k);
                    sum += own;
                    size += own.abs();
                }
                let allowed = depth as f64 * size * f64::from(f32::EPSILON) / 2.0;
                let found = f64::from(got[r * cols + c]);
                // Which NaN is not.
                let is_near = (found - sum).abs() <= allowed;
                if !is_near {
                    wrong.push(format!("{:?} at ({r}, {c}): {found} is no {sum}", self.sizes));
                }
            }
        }
        wrong
    }
}

#[test]
fn products_are_those_of_f64() {
    let engine = gpu();
    let mut runs = 0;
    // Quads and none, less than a tile of anything, tails of all three; in small tiles and in large ones.
    let sizes = [
        [1, 1, 1],
        [5, 7, 3],
        [64, 64, 32],
        [70, 68, 36],
        [33, 130, 129],
        [200, 72, 260],
        [1500, 1411, 9],
    ];
    for (n, size) in sizes.into_iter().enumerate() {
        for transposed in LAYOUTS {
            for (m, dtypes) in DTYPES.into_iter().enumerate() {
                if n > 3 && m != n % DTYPES.len() {
                    continue;
                }
                let case = Case::new(size, transposed, dtypes);
                let wrong = case.wrong(&case.run(engine));
                assert!(
                    wrong.is_empty(),
                    "{transposed:?} {dtypes:?}: {} wrong, {}",
                    wrong.len(),
                    wrong[0]
                );
                runs += 1;
            }
        }
    }
    assert!(runs > 40, "{runs}");
}

/// A large product in large tiles, its parts in small ones, cuts of rows, columns and depth.
#[test]
fn an_elements_bits_hang_on_its_lines_alone() {
    let large = [1500, 1411, 70];
    for transposed in LAYOUTS {
        let case = Case::new(large, transposed, (Dtype::F32, Dtype::F32));
        let whole = case.run(gpu());
        // Bindings that hold few rows of the product.
        assert!(
            whole == case.run(&cut(800 << 10)),
            "{transposed:?}: other bits where it is cut"
        );

        // The first 40 rows and 50 columns alone.
        let [rows, cols, depth] = [40, 50, 70];
        let part = |own: &Tensor, lines: usize, all: usize, across: bool| {
            let numbers = own.read::<f32>(&Engine::cpu()).unwrap();
            let taken: Vec<f32> = match across {
                true => (0..depth)
                    .flat_map(|k| numbers[k * all..k * all + lines].to_vec())
                    .collect(),
                false => numbers[..lines * depth].to_vec(),
            };
            Tensor::from_vec(taken, &if across { [depth, lines] } else { [lines, depth] }).unwrap()
        };
        let small = Case {
            operands: [
                part(&case.operands[0], rows, large[0], transposed[0]),
                part(&case.operands[1], cols, large[1], !transposed[1]),
            ],
            transposed,
            sizes: [rows, cols, depth],
        };
        let small = small.run(gpu());
        for r in 0..rows {
            let own = &whole[r * large[1]..r * large[1] + cols];
            assert!(
                own == &small[r * cols..(r + 1) * cols],
                "{transposed:?}: other bits in row {r} of a smaller tile"
            );
        }
    }
}

/// So deep that dispatches add to each other, and deeper than a binding where lines lie across.
#[test]
fn depths_are_cut_and_added_up() {
    let engine = fresh();
    let case = Case::new([2, 3, 70_001], [false, true], (Dtype::F32, Dtype::F32));
    let wrong = case.wrong(&case.run(&engine));
    assert!(wrong.is_empty(), "{wrong:?}");
    for (rows, transposed) in [(8, [false, false]), (64, [true, false])] {
        let case = Case::new([rows, 40, 5000], transposed, (Dtype::F32, Dtype::F32));
        let whole = case.run(&engine);
        assert!(case.wrong(&whole).is_empty(), "{transposed:?}");
        let cut = case.run(&cut(256 << 10));
        assert!(whole == cut, "{transposed:?}: other bits where the depth is cut");
    }
}

fn view(shape: &[usize]) -> View {
    View::contiguous(Dtype::F32, shape)
}

#[test]
fn what_does_not_go_together_is_refused() {
    let plan = |left: &[usize], right: &[usize], into: &[usize], transposed| {
        let views = [left, right, into].map(view);
        plan_product(
            [&views[0], &views[1], &views[2]],
            transposed,
            &DEFAULT_LIMITS,
            &Tuning::HARDWARE,
        )
    };
    assert!(plan(&[4, 3], &[5, 3], &[4, 5], [false, true]).is_ok());
    for (left, right, into, words) in [
        (
            &[4, 3][..],
            &[5, 4][..],
            &[4, 5][..],
            "[4, 3] times [5, 4] transposed is no [4, 5]",
        ),
        (&[4, 3], &[5, 3], &[5, 4], "[4, 3] times [5, 3] transposed is no [5, 4]"),
        (&[4], &[5, 3], &[4, 5], "expected matrices, got [4]"),
    ] {
        match plan(left, right, into, [false, true]) {
            Err(Error::Operand { message, .. }) => assert!(message.contains(words), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    let engine = gpu();
    let of = |dtype| engine.upload(&tensor(1, &[4, 4]).to_dtype(dtype).unwrap()).unwrap();
    let refused = engine.stopwatch_product([&of(Dtype::F16), &of(Dtype::Bf16)], [false, true], &of(Dtype::F32));
    assert!(matches!(refused, Err(Error::Operand { name: "right", .. })));
    let wide = plan_multiply(DEFAULT_LIMITS.max_groups + 1, 1, &DEFAULT_LIMITS);
    assert!(matches!(wide, Err(Error::Operand { name: "groups", .. })));
}

/// Large tiles want enough of themselves, and as little as small ones behind the ends of the lines.
#[test]
fn tiles_are_as_large_as_is_of_use() {
    for ([rows, cols], tuning, tiles) in [
        ([256, 128], Tuning::SOFTWARE, 2),
        ([256, 128], Tuning::HARDWARE, 8),
        ([1500, 1411], Tuning::HARDWARE, 144),
        ([1500, 1200], Tuning::HARDWARE, 456),
        ([20_000, 64], Tuning::SOFTWARE, 313),
        ([20_096, 192], Tuning::SOFTWARE, 314),
    ] {
        let views = [[rows, 8], [cols, 8], [rows, cols]].map(|shape| view(&shape));
        let of = [&views[0], &views[1], &views[2]];
        let plan = plan_product(of, [false, true], &DEFAULT_LIMITS, &tuning).unwrap();
        let found: u64 = plan.dispatches().map(|own| own.tiles.1 - own.tiles.0).sum();
        assert_eq!(found, tiles, "{rows} x {cols}");
    }
}

fn multiply_adds(plan: &Plan) -> u64 {
    plan.dispatches().map(|own| own.multiply_adds).sum()
}

/// Every multiply-add once, in dispatches that no watchdog minds, of a product that moves little for what it computes.
#[test]
fn dispatches_are_cut_by_multiply_adds() {
    let [n, h, c] = [8192, 4096, 128_256];
    let limits = Limits {
        max_dispatch_bytes: 64 << 20,
        max_binding_bytes: 1 << 31,
        ..DEFAULT_LIMITS
    };
    let (x, w, z) = (view(&[n, h]), view(&[c, h]), view(&[n, c]));
    for (views, transposed) in [
        ([&x, &w, &z], [false, true]),
        ([&z, &w, &x], [false, false]),
        ([&z, &x, &w], [true, false]),
    ] {
        let plan = plan_product(views, transposed, &limits, &Tuning::HARDWARE).unwrap();
        assert_eq!(multiply_adds(&plan), (n * h * c) as u64);
        let most = plan.dispatches().map(|own| own.multiply_adds).max().unwrap();
        assert!(most <= 4 * limits.max_dispatch_bytes, "{most}");
        assert!(plan.dispatches().all(|own| own.iterations < MAX_ITERATIONS));
    }
}

#[test]
fn multiply_adds_in_registers_are_counted() {
    // Loops are short, and so are dispatches.
    for (groups, turns) in [(1, 100_000), (1024, 10_000)] {
        let (plan, count) = plan_multiply(groups, turns, &DEFAULT_LIMITS).unwrap();
        assert_eq!(count, multiply_adds(&plan));
        assert!(plan.dispatches().count() > 1);
        let most = DEFAULT_LIMITS.max_dispatch_bytes * 4;
        let is_short = |own: &Dispatch| own.iterations < MAX_ITERATIONS && own.multiply_adds <= most;
        assert!(plan.dispatches().all(is_short), "{groups} {turns}");
    }
    let (stopwatch, count) = gpu().stopwatch_multiply(3, 10).unwrap();
    assert_eq!(count, multiply_adds(stopwatch.plan()));
    assert_eq!(count, 3 * 256 * 10 * 4 * 64);
    stopwatch.once().unwrap();
    let sums = stopwatch.tensor(Role::Loss).unwrap().read::<f32>(gpu()).unwrap();
    assert_eq!(sums.len(), 768);
    // 64 sums a lane of x -> 0.999 x + 0.001, forty times.
    let want = |lane: f64, group: f64| -> f64 {
        let held = 0.999f64.powi(40);
        let sum: f64 = (0..16)
            .map(|s| (lane + f64::from(s)) + group + f64::from(s) + 1.0)
            .sum();
        held * sum + 64.0 * (1.0 - held)
    };
    for (n, sum) in sums.iter().enumerate() {
        let want = want((n % 256) as f64, (n / 256) as f64);
        assert!((f64::from(*sum) - want).abs() < 1e-5 * want, "{n}: {sum} is no {want}");
    }
}
