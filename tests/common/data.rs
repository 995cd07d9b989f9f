//! Data that hurts, from a seed.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use wgloss::{Dtype, OperandKind};

pub struct Data(Pcg64Mcg);

/// Numbers at the ends of what an operand may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wild {
    /// All the same number, and all rows ignored.
    Zeros,
    /// Numbers that are equal often, and lie where definitions have kinks.
    Ties,
    /// 1e4 of either sign: exponentials that overflow.
    Large,
    /// Logits of -inf, of some columns or all.
    Impossible,
    /// Numbers that an adapter may flush to 0.
    Subnormal,
    /// Nine decades.
    Mixed,
    Nan,
    /// The ends of a dtype, which masks are filled with, their halves, and 1e38. Sums and differences of some are
    /// beyond it.
    Ends,
    /// Infinities, of either sign where both may be.
    Infinite,
}

impl Wild {
    /// Those whose results the error model holds whatever is done with them.
    pub const ALL: [Self; 7] = [
        Self::Zeros,
        Self::Ties,
        Self::Large,
        Self::Impossible,
        Self::Subnormal,
        Self::Mixed,
        Self::Nan,
    ];
}

impl Data {
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// Two uniform numbers make a normal one (Box and Muller).
    fn normal(&mut self) -> f32 {
        let (u, v): (f64, f64) = (self.0.random_range(1e-12..1.0), self.0.random());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// Signed logits, one in 16 of them a ×20 outlier.
    pub fn logits(&mut self, n: usize) -> Vec<f32> {
        (0..n)
            .map(|_| {
                let peak = if self.0.random_range(0..16) == 0 { 20.0 } else { 2.0 };
                self.normal() * peak
            })
            .collect()
    }

    pub fn uniform(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        (0..n).map(|_| self.0.random_range(low..high)).collect()
    }

    /// Class indices; one in eight is `ignore`, where given.
    pub fn labels(&mut self, n: usize, classes: usize, ignore: Option<i64>) -> Vec<i64> {
        (0..n)
            .map(|_| {
                let label = self.0.random_range(0..classes) as i64;
                match ignore {
                    Some(ignore) if self.0.random_range(0..8) == 0 => ignore,
                    _ => label,
                }
            })
            .collect()
    }

    /// Puts wild numbers among those of an operand: everywhere, or in some places.
    pub fn make_wild(&mut self, numbers: &mut [f32], kind: OperandKind, wild: Wild, logs: bool, dtype: Dtype) {
        let most = finfo_max(dtype);
        for x in numbers {
            if wild == Wild::Zeros || self.0.random_range(0..3) == 0 {
                let wild = self.wild(*x, kind, wild, logs);
                *x = if wild.is_finite() {
                    wild.clamp(-most, most)
                } else {
                    wild
                };
            }
        }
    }

    fn wild(&mut self, usual: f32, kind: OperandKind, wild: Wild, logs: bool) -> f32 {
        use OperandKind::{IndexOrDistribution, LogProbability, Logit, MaybeLogProbability, Rate, UnitInterval};
        let sign = if self.0.random() { 1.0 } else { -1.0 };
        let x: f32 = match wild {
            Wild::Zeros => 0.0,
            Wild::Ties => sign * [0.0, 0.5, 1.0][self.0.random_range(0..3)],
            Wild::Large => sign * 1e4,
            Wild::Impossible if kind == Logit => f32::NEG_INFINITY,
            Wild::Impossible => -100.0,
            Wild::Subnormal => sign * [1e-39, 1e-6][self.0.random_range(0..2)] * self.0.random::<f32>(),
            Wild::Mixed => sign * 10f32.powf(self.0.random_range(-4.5..4.5)),
            Wild::Nan if self.0.random_range(0..4) == 0 => f32::NAN,
            Wild::Nan => usual,
            Wild::Ends
                if matches!(kind, UnitInterval | IndexOrDistribution) || kind == MaybeLogProbability && !logs =>
            {
                [0.0, 1.0, 0.25, 0.999_999_94, 1e-30][self.0.random_range(0..5)]
            }
            Wild::Infinite if self.0.random_range(0..4) > 0 => usual,
            Wild::Infinite => sign * f32::INFINITY,
            Wild::Ends => {
                sign * [f32::MAX, f32::MAX / 2.0, 1.702e38, 1e38, 65_504.0, 32_768.0][self.0.random_range(0..6)]
            }
        };
        let is_log = kind == LogProbability || logs && matches!(kind, MaybeLogProbability | Rate);
        match kind {
            OperandKind::Sign => usual,
            // Refused where an adapter is not even asked.
            UnitInterval if !x.is_finite() => usual,
            _ if x.is_nan() => x,
            _ if is_log => -x.abs(),
            UnitInterval | MaybeLogProbability | IndexOrDistribution => x.abs().min(1.0),
            OperandKind::Count => x.abs().floor(),
            Rate => x.abs().max(1e-6),
            OperandKind::Variance => x.abs(),
            _ => x,
        }
    }

    /// 0, 1 or something between.
    pub fn targets(&mut self, n: usize) -> Vec<f32> {
        (0..n)
            .map(|_| match self.0.random_range(0..3) {
                0 => 0.0,
                1 => 1.0,
                _ => self.0.random(),
            })
            .collect()
    }
}

/// The largest finite number of a float type.
pub fn finfo_max(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F16 => half::f16::MAX.to_f32(),
        Dtype::Bf16 => half::bf16::MAX.to_f32(),
        _ => f32::MAX,
    }
}

/// The shape of class indices for logits (C), (N, C) or (N, C, d1, …).
pub fn row_shape(shape: &[usize]) -> Vec<usize> {
    let mut rows = shape.to_vec();
    rows.remove(usize::from(shape.len() > 1));
    rows
}
