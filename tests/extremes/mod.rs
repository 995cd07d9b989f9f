//! What lies at the ends: finite numbers that masks are filled with, infinities, and dimensions of size 0. Over the
//! registry, on the GPU and on the processor.

mod infinite;
mod masked;
mod nothing;
mod registry;

use wgloss::{Array, Call, Dtype, Engine, Loss, Tensor, Values, precision};

use crate::common::gpu;

const INF: f32 = f32::INFINITY;

fn engines() -> [&'static Engine; 2] {
    static CPU: std::sync::OnceLock<Engine> = std::sync::OnceLock::new();
    [gpu(), CPU.get_or_init(Engine::cpu)]
}

fn tensor(data: &[f32], shape: &[usize]) -> Tensor {
    Tensor::new(data, shape).unwrap()
}

fn run(engine: &Engine, loss: &dyn Loss, call: &Call<'_>) -> Values {
    loss.run(engine, call).unwrap().read(engine).unwrap()
}

/// Where a result is not what the reference says; an infinity of its sign passes for a large number where
/// `may_overflow`.
fn misses(what: &str, got: &Array, want: &[f64], may_overflow: bool) -> Option<String> {
    let finite = want.iter().filter(|w| w.is_finite());
    let largest = finite.fold(0.0f64, |most, w| most.max(w.abs())).min(1.0);
    let fits = |i: &usize| {
        let (got, want) = (got.data[*i], want[*i]);
        let overflowed = may_overflow && got.is_infinite() && f64::from(got).signum() == want.signum();
        overflowed || precision::admits(Dtype::F32, got, want, 1e-5 * (want.abs() + largest))
    };
    let fits_half = |i: &usize| precision::admits(got.dtype, got.data[*i], want[*i], 1e-5 * (want[*i].abs() + largest));
    assert_eq!(got.data.len(), want.len(), "{what}");
    let index = (0..want.len()).find(|i| !fits(i) && !fits_half(i))?;
    Some(format!(
        "{what}[{index}]: got {:e}, want {:e}",
        got.data[index], want[index]
    ))
}
