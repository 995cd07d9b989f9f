//! burn's and candle's times for rows of `wgloss bench`, on the processor: burn on its wgpu backend over Vulkan's
//! software adapter (llvmpipe), candle on its CPU device. Run both in one session and compare medians.
//!
//!     export NODEVICE_SELECT=1 RUSTFLAGS="-C target-cpu=native" # the flags are those of candle's own repository
//!     cargo run --release -- [runs] [seconds a row may take]
//!
//! With `--features fusion`, burn fuses kernels and tunes them at run time, as it does by default. Forward and forward
//! with backward, in milliseconds: median (least, most), after one call to warm up; a call ends when the device is done
//! (burn's forward: when the loss is read back). WRONG: over 1e-4 off loops in f64. A process for each row, so that one
//! that panics or hangs does not end the rest. bce_with_logits has targets of 0 and 1, as burn takes integers.
//!
//! product: burn's input (N, H) times weight (C, H) transposed, as `wgloss bench --products` has it first of its rows.

mod burn_wgpu;
mod candle_cpu;

use std::env;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::process::Command;
use std::time::Instant;

const ROWS: [(&str, &[usize]); 9] = [
    ("cross_entropy", &[1024, 32000]),
    ("cross_entropy", &[8192, 1000]),
    ("cross_entropy", &[3276800, 10]),
    ("cross_entropy", &[8, 21, 512, 512]),
    ("bce_with_logits", &[33_554_432]),
    ("mse", &[33_554_432]),
    ("product", &[1024, 512, 32_000]),
    ("product", &[4096, 256, 8192]),
    ("product", &[4096, 255, 8192]),
];

const GRADS: usize = 10; // how many of a gradient's numbers are checked

struct Row {
    name: &'static str,
    dims: &'static [usize],
    x: Vec<f32>, // about normal
    t: Vec<f32>, // classes, zeros and ones, or uniform in [0, 1); of a product the weight
}

impl Row {
    fn new(&(name, dims): &(&'static str, &'static [usize])) -> Self {
        let mut state = 1_u64; // Park and Miller's generator
        let mut uniform = || {
            state = state * 48271 % 0x7fff_ffff;
            (state >> 7) as f32 / (1 << 24) as f32
        };
        let target = |u: f32| match name {
            "cross_entropy" => (u * dims[1] as f32).floor(),
            "bce_with_logits" => u.round(),
            _ => u,
        };
        let sizes = match *dims {
            [inputs, features, classes] if name == "product" => [inputs * features, classes * features],
            _ => [dims.iter().product(), dims[0]],
        };
        let t = (0..sizes[1]).map(|_| target(uniform())).collect();
        let mut normal = || (uniform() + uniform() + uniform() + uniform() - 2.0) * 3_f32.sqrt();
        let x = (0..sizes[0]).map(|_| normal()).collect();
        Self { name, dims, x, t }
    }

    /// The mean loss and its gradient's first numbers: plain loops in f64.
    fn truth(&self) -> (f64, Vec<f64>) {
        let (mut sum, mut grads) = (0.0, Vec::new());
        let width = self.dims.get(1).copied().unwrap_or(1);
        for (xs, &t) in self.x.chunks(width).zip(&self.t) {
            let (x, t) = (f64::from(xs[0]), f64::from(t));
            let lse = || xs.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
            sum += match self.name {
                "cross_entropy" => lse() - f64::from(xs[t as usize]),
                "bce_with_logits" => x.max(0.0) - x * t + (-x.abs()).exp().ln_1p(),
                _ => (x - t).powi(2),
            };
            let class = |(i, &x): (usize, &f32)| (f64::from(x) - lse()).exp() - f64::from(i == t as usize);
            match self.name {
                _ if grads.len() == GRADS => {}
                "cross_entropy" => grads.extend(xs.iter().take(GRADS).enumerate().map(class)),
                "bce_with_logits" => grads.push(1.0 / (1.0 + (-x).exp()) - t),
                _ => grads.push(2.0 * (x - t)),
            }
        }
        grads.iter_mut().for_each(|grad| *grad /= self.t.len() as f64);
        (sum / self.t.len() as f64, grads)
    }

    /// Times a library's calls, and checks what the first ones found.
    fn measure<G>(&self, forward: impl Fn() -> f32, fused: impl Fn() -> G, first: impl Fn(G) -> Vec<f32>) {
        let value = timed("forward", forward);
        let grads = first(timed("  forward+backward", fused));
        let (true_value, true_grads) = self.truth();
        check("value", &[value], &[true_value]);
        check("gradient", &grads, &true_grads);
    }

    /// Times a product, and checks the first row's first numbers.
    fn measure_product<P>(&self, run: impl Fn() -> P, first: impl Fn(P) -> Vec<f32>) {
        let depth = self.dims[1];
        let term = |(&x, &t): (&f32, &f32)| f64::from(x) * f64::from(t);
        let dot = |line: &[f32]| self.x.iter().zip(line).map(term).sum();
        let truth: Vec<f64> = self.t.chunks(depth).take(GRADS).map(dot).collect();
        check("product", &first(timed("forward", run)), &truth);
    }
}

/// Says so where numbers are wrong.
fn check(what: &str, found: &[f32], truth: &[f64]) {
    let most = truth.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let near = |(&x, y): (&f32, &f64)| (f64::from(x) - y).abs() <= 1e-4 * most;
    if found.len() != truth.len() || !found.iter().zip(truth).all(near) {
        let first = found.first().copied().unwrap_or(f32::NAN);
        show(&format!("   WRONG {what} {first:?}, true {:?}", truth[0] as f32));
    }
}

/// Prints the times of the calls after the first, and gives the first call's result.
fn timed<T>(kind: &str, run: impl Fn() -> T) -> T {
    let first = run();
    let mut times = vec![0.0; number(1, 5).max(1)];
    for time in &mut times {
        let start = Instant::now();
        drop(run());
        *time = 1e3 * start.elapsed().as_secs_f64();
    }
    times.sort_by(f64::total_cmp);
    let last = times.len() - 1;
    let median = (times[last / 2] + times[last.div_ceil(2)]) / 2.0;
    show(&format!(" {kind} {median:8.1} ({:.1}, {:.1})", times[0], times[last]));
    first
}

fn number(at: usize, default: usize) -> usize {
    let arg = env::args().nth(at);
    arg.map_or(default, |arg| arg.parse().expect("a number"))
}

fn show(text: &str) {
    print!("{text}");
    io::stdout().flush().unwrap();
}

fn version(package: &str) -> &str {
    let mut words = include_str!("../Cargo.lock").split('"');
    words.find(|&word| word == package).unwrap();
    words.nth(1).unwrap()
}

/// What a process of its own does: runs one row of a library, or says what the library is.
fn alone(library: &str, row: usize) {
    let hook = |info: &PanicHookInfo| show(&format!("   FAILED: {}", info.to_string().replace('\n', " ")));
    panic::set_hook(Box::new(hook));
    match (library, ROWS.get(row).map(Row::new)) {
        ("burn", Some(row)) => burn_wgpu::run(&row),
        ("burn", None) => show(&burn_wgpu::about()),
        (_, Some(row)) => candle_cpu::run(&row),
        (_, None) => show(&candle_cpu::about()),
    }
}

fn main() {
    if let Some(library) = env::args().nth(3) {
        return alone(&library, number(4, 0));
    }
    let (runs, limit) = (number(1, 5), number(2, 60));
    println!("{runs} runs, at most {limit} s a row");
    let start = |library: &str, row: usize| {
        let mut command = Command::new("timeout");
        command.arg(limit.to_string()).arg(env::current_exe().unwrap());
        command.args([&runs.to_string(), &limit.to_string(), library, &row.to_string()]);
        match command.status().unwrap() {
            status if status.success() => println!(),
            status if status.code() == Some(124) => println!("   FAILED: not done in {limit} s"),
            status => println!("   ({status})"),
        }
    };
    ["burn", "candle"].iter().for_each(|library| start(library, ROWS.len()));
    for (row, (name, dims)) in ROWS.iter().enumerate() {
        let shape: Vec<String> = dims.iter().map(|dim| dim.to_string()).collect();
        for library in ["burn", "candle"] {
            show(&format!("{:34} {library:9}", format!("{name} {}", shape.join("x"))));
            match (*name, *dims) {
                ("product", _) if library == "candle" => println!(" skipped: it has no adapter here"),
                ("product", _) | (_, [_] | [_, _]) => start(library, row),
                _ => println!(" skipped: its cross entropy takes rows x classes only"),
            }
        }
    }
}
