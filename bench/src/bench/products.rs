//! Products of matrices, as linear layers have them, beside multiply-adds between registers alone.

use wgloss::{Dtype, Engine, Error, Result, Role, Stopwatch, Tensor};

use super::measure::{Samples, variant};
use super::record::Product;
use super::rows::shape_text;

/// Rows, features and classes of a layer: many classes, and few features; features that are no whole quads.
pub const SIZES: [[usize; 3]; 3] = [[1024, 512, 32_000], [4096, 256, 8192], [4096, 255, 8192]];

/// Workgroups of the multiply-adds.
const GROUPS: u32 = 1024;

/// Elements of a result that are held against f64: scattered, and a prime number of them.
const CHECKED: usize = 1009;

/// A product: what it is called, which of `[N, H, C]` are its rows, columns and depth, and how its operands lie.
struct Kind {
    name: &'static str,
    sizes: [usize; 3],
    transposed: [bool; 2],
    /// The left operand is a gradient, in f32 whatever the others are.
    is_gradient: bool,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "input x weight^T",
        sizes: [0, 2, 1],
        transposed: [false, true],
        is_gradient: false,
    },
    Kind {
        name: "grad x weight",
        sizes: [0, 1, 2],
        transposed: [false, false],
        is_gradient: true,
    },
    Kind {
        name: "grad^T x input",
        sizes: [2, 1, 0],
        transposed: [true, false],
        is_gradient: true,
    },
];

/// Times the products of a layer, each beside as many multiply-adds in the same rounds.
///
/// # Errors
/// Those of the engine; a product that is wrong.
pub fn measure(
    engine: &Engine,
    sizes: [usize; 3],
    dtype: Dtype,
    runs: usize,
) -> std::result::Result<Vec<Product>, String> {
    let text = |error: Error| format!("products of {}: {error}", shape_text(&sizes));
    KINDS
        .iter()
        .map(|kind| one(engine, kind, sizes, dtype, runs).map_err(text)?)
        .collect()
}

fn one(
    engine: &Engine,
    kind: &Kind,
    sizes: [usize; 3],
    dtype: Dtype,
    runs: usize,
) -> Result<std::result::Result<Product, String>> {
    let [rows, cols, depth] = kind.sizes.map(|nth| sizes[nth]);
    let shape = |lines: usize, across: bool| if across { [depth, lines] } else { [lines, depth] };
    let left_dtype = if kind.is_gradient { Dtype::F32 } else { dtype };
    let left = operand(7919, &shape(rows, kind.transposed[0]), left_dtype)?;
    let right = operand(104_729, &shape(cols, !kind.transposed[1]), dtype)?;
    let [from, by] = [engine.upload(&left)?, engine.upload(&right)?];
    let into = engine.upload(&Tensor::from_vec(vec![f32::NAN; rows * cols], &[rows, cols])?)?;
    let stopwatch = engine.stopwatch_product([&from, &by], kind.transposed, &into)?;
    let multiply_adds: u64 = (rows * cols * depth) as u64;
    // As many of them, in whole turns: one at least.
    let (_, of_a_turn) = engine.stopwatch_multiply(GROUPS, 1)?;
    let turns = (multiply_adds / of_a_turn).clamp(1, u32::MAX.into()) as u32;
    let (registers, others) = engine.stopwatch_multiply(GROUPS, turns)?;
    stopwatch.once()?;
    registers.once()?;
    if let Err(why) = check(engine, &stopwatch, (&left, &right), kind, [rows, cols, depth])? {
        let name = kind.name;
        return Ok(Err(format!("{name} of {}, not timed: {why}", shape_text(&sizes))));
    }
    let [mut own, mut ceiling] = [Samples::default(), Samples::default()];
    for _ in 0..runs {
        own.push(&stopwatch.once()?);
        ceiling.push(&registers.once()?);
    }
    let bytes =
        (left.view().len() * left.dtype().bytes()) + (right.view().len() * dtype.bytes()) + 4 * (rows * cols) as u64;
    let times = own.times(bytes);
    let rate = |multiply_adds: u64, ms: f64| 2.0 * multiply_adds as f64 / 1e6 / ms.max(1e-9);
    Ok(Ok(Product {
        name: kind.name.into(),
        shape: sizes.to_vec(),
        dtype: dtype.name().into(),
        multiply_adds,
        gflop_per_s: rate(multiply_adds, times.best().median),
        registers_gflop_per_s: rate(others, ceiling.times(0).best().median),
        share: ceiling.over(&own).times(multiply_adds as f64 / others as f64),
        bytes,
        times,
        variant: variant(stopwatch.plan()),
        dispatches: stopwatch.plan().dispatches().count(),
    }))
}

/// Numbers between -0.5 and 0.5 that repeat after no power of two.
pub fn operand(factor: usize, shape: &[usize], dtype: Dtype) -> Result<Tensor> {
    let number = |i: usize| ((i % 8191 * factor) % 8191) as f32 / 8191.0 - 0.5;
    let numbers = (0..shape.iter().product()).map(number).collect();
    Tensor::from_vec(numbers, shape)?.to_dtype(dtype)
}

/// Holds some elements against f64: additions in any order stay within the depth times the rounding of their size.
fn check(
    engine: &Engine,
    stopwatch: &Stopwatch<'_>,
    (left, right): (&Tensor, &Tensor),
    kind: &Kind,
    [rows, cols, depth]: [usize; 3],
) -> Result<std::result::Result<(), String>> {
    let Some(product) = stopwatch.tensor(Role::Loss) else {
        return Ok(Err("there is no product".into()));
    };
    let got = product.numbers(engine)?;
    let cpu = Engine::cpu();
    let [left, right] = [left.numbers(&cpu)?.data, right.numbers(&cpu)?.data];
    let at = |list: &[f32], lines: usize, across: bool, line: usize, k: usize| {
        f64::from(list[if across { k * lines + line } else { line * depth + k }])
    };
    for n in 0..CHECKED {
        let (r, c) = (n * (rows - 1) / (CHECKED - 1), (n * 7919) % cols);
        let (mut sum, mut size) = (0.0, 0.0);
        for k in 0..depth {
            let term = at(&left, rows, kind.transposed[0], r, k) * at(&right, cols, !kind.transposed[1], c, k);
            sum += term;
            size += term.abs();
        }
        let (found, allowed) = (
            f64::from(got.data[r * cols + c]),
            depth as f64 * size * f64::from(f32::EPSILON) / 2.0,
        );
        // Which NaN is not.
        let is_near = (found - sum).abs() <= allowed;
        if !is_near {
            return Ok(Err(format!("element ({r}, {c}) is {found}, expected {sum}")));
        }
    }
    Ok(Ok(()))
}
