//! The engine itself on the adapter: the same bits from run to run, from cut to cut and from thread to thread, and
//! masks and NaN as the reference has them.

use wgloss::{Call, CrossEntropy, Dtype, Engine, Limits, Loss, Mode, Mse, Reduction, Tensor, Values};
use wgloss_bench::errors::{Worst, compare};

use super::finding::{Fault, Finding, Test};
use super::lab::Lab;

pub const TESTS: [Test; 4] = [
    Test {
        name: "equal-runs",
        what: "the same bits from run to run, and on an engine opened anew",
        run: runs,
    },
    Test {
        name: "equal-cuts",
        what: "the same bits however small the parts that work is cut into",
        run: cuts,
    },
    Test {
        name: "equal-threads",
        what: "the same bits where threads share the engine",
        run: threads,
    },
    Test {
        name: "masks",
        what: "scores of -inf, a row of NaN, as in the f64 reference",
        run: masks,
    },
];

/// Rows and columns of the logits: no multiples of anything.
const SHAPE: [usize; 2] = [257, 1003];

/// The calls whose bits are compared: a loss of rows, in f32 and bf16, and one of elements.
struct Calls {
    logits: [Tensor; 2],
    labels: Tensor,
    target: Tensor,
}

fn words(error: wgloss::Error) -> String {
    error.to_string()
}

impl Calls {
    /// `nudged`: one number is another one.
    fn new(nudged: bool) -> Result<Self, String> {
        let len = SHAPE[0] * SHAPE[1];
        let mut numbers: Vec<f32> = (0..len).map(|i| ((i * 7919) % 10_007) as f32 * 0.001 - 5.0).collect();
        if let Some(x) = numbers.get_mut(100_003).filter(|_| nudged) {
            *x += 0.5;
        }
        let labels: Vec<i64> = (0..SHAPE[0]).map(|i| (i * 31 % SHAPE[1]) as i64).collect();
        let logits = Tensor::new(&numbers, &SHAPE).map_err(words)?;
        let half = logits.to_dtype(Dtype::Bf16).map_err(words)?;
        Ok(Self {
            target: Tensor::new(&vec![0.25f32; len], &SHAPE).map_err(words)?,
            logits: [logits, half],
            labels: Tensor::new(&labels, &SHAPE[..1]).map_err(words)?,
        })
    }

    /// The bits of all results.
    fn bits(&self, engine: &Engine) -> Result<Vec<u32>, String> {
        let [single, half] = &self.logits;
        let (rows, elements) = (CrossEntropy::default(), Mse::default());
        let mut bits = Vec::new();
        for (loss, tensors) in [
            (&rows as &dyn Loss, [single, &self.labels]),
            (&rows, [half, &self.labels]),
            (&elements, [single, &self.target]),
        ] {
            let output = loss.run(engine, &Call::new(Mode::Fused, &tensors)).map_err(words)?;
            let values = output.read(engine).map_err(words)?;
            bits.extend(bits_of(&values));
        }
        Ok(bits)
    }
}

fn bits_of(values: &Values) -> Vec<u32> {
    let arrays = [&values.loss, &values.grad_input].into_iter().flatten();
    arrays
        .flat_map(|array| array.data.iter().map(|x| x.to_bits()))
        .collect()
}

/// Whether others come to the same, told in words.
fn equal(first: &[u32], all: impl IntoIterator<Item = (String, Vec<u32>)>) -> Option<String> {
    all.into_iter().find_map(|(what, bits)| {
        let others = first.iter().zip(&bits).filter(|(a, b)| a != b).count();
        let is_same = others == 0 && first.len() == bits.len();
        (!is_same).then(|| format!("{what}: {others} of {} numbers have other bits", first.len()))
    })
}

/// The calls once more; with the fault, of other numbers.
fn again(fault: Fault) -> Result<Calls, String> {
    Calls::new(fault.is_seeded())
}

fn runs(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let first = Calls::new(false)?.bits(&lab.engine)?;
    let calls = again(fault)?;
    let mut others = Vec::new();
    for run in 2..=4 {
        others.push((format!("run {run}"), calls.bits(&lab.engine)?));
    }
    others.push(("another engine".into(), calls.bits(&lab.another()?)?));
    let count = first.len();
    Ok(Finding::judged(
        format!("{count} numbers, four runs and an engine opened anew"),
        equal(&first, others),
    ))
}

fn cuts(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let first = Calls::new(false)?.bits(&lab.engine)?;
    let calls = again(fault)?;
    let mut engine = lab.another()?;
    let limits = engine.plan_limits().ok_or("the engine has no device")?;
    let mut others = Vec::new();
    for (dispatch, binding) in [(1 << 20, 1 << 20), (64 << 10, 128 << 10)] {
        let small = Limits {
            max_dispatch_bytes: limits.max_dispatch_bytes.min(dispatch),
            max_binding_bytes: limits.max_binding_bytes.min(binding),
            ..limits
        };
        engine.set_plan_limits(small).map_err(words)?;
        others.push((format!("parts of {dispatch} bytes"), calls.bits(&engine)?));
    }
    Ok(Finding::judged(
        "whole, in parts of 1 MiB and of 64 KiB",
        equal(&first, others),
    ))
}

fn threads(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    const THREADS: usize = 4;
    let engine = &lab.engine;
    let calls = Calls::new(false)?;
    let first = calls.bits(engine)?;
    let odd = again(fault)?;
    let found: Vec<Result<Vec<u32>, String>> = std::thread::scope(|scope| {
        let start = |nth: usize| {
            let own = if nth == THREADS - 1 { &odd } else { &calls };
            scope.spawn(move || own.bits(engine))
        };
        let all: Vec<_> = (0..THREADS).map(start).collect();
        let joined = all.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|own| own.unwrap_or_else(|_| Err("a thread died".into())))
            .collect()
    });
    let mut others = Vec::new();
    for (nth, bits) in found.into_iter().enumerate() {
        others.push((format!("thread {nth}"), bits?));
    }
    Ok(Finding::judged(format!("{THREADS} threads"), equal(&first, others)))
}

/// Rows of which some scores, or all but one, are -inf, and one that holds a NaN.
fn masks(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    const COLS: usize = 1000;
    let class = |row: usize| row * 37 % COLS;
    let of = |nudged: bool| {
        let score = |row: usize, col: usize| match (row % 4, col == class(row)) {
            (1, false) if col.is_multiple_of(3) => f32::NEG_INFINITY,
            (2, false) => f32::NEG_INFINITY,
            (3, true) if row == 7 => f32::NAN,
            _ if nudged && row == 9 && col == 500 => 7.5,
            _ => ((row * COLS + col) * 7919 % 1009) as f32 * 0.01 - 5.0,
        };
        let numbers: Vec<f32> = (0..16 * COLS).map(|i| score(i / COLS, i % COLS)).collect();
        Tensor::new(&numbers, &[16, COLS])
    };
    let labels: Vec<i64> = (0..16).map(|row| class(row) as i64).collect();
    let labels = Tensor::new(&labels, &[16]).map_err(words)?;
    let loss = CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    };
    let run = |engine: &Engine, logits: &Tensor| -> Result<Values, String> {
        let output = loss
            .run(engine, &Call::new(Mode::Fused, &[logits, &labels]))
            .map_err(words)?;
        output.read(engine).map_err(words)
    };
    let got = run(&lab.engine, &of(fault.is_seeded()).map_err(words)?)?;
    let want = run(&Engine::cpu(), &of(false).map_err(words)?)?;
    let mut wrong = None;
    for (what, got, want) in [
        ("loss", got.loss, want.loss),
        ("gradient", got.grad_input, want.grad_input),
    ] {
        let (got, want) = got.zip(want).ok_or_else(|| format!("there is no {what}"))?;
        let truth: Vec<f64> = want.data.iter().map(|&x| x.into()).collect();
        let miss = compare(&got.data, got.dtype, &truth, None, &mut Worst::default());
        wrong = wrong.or(miss.map(|miss| crate::check::describe(what, &miss)));
    }
    Ok(Finding::judged("16 rows of 1000 scores", wrong))
}
