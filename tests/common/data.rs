//! Data that hurts, from a seed.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

pub struct Data(Pcg64Mcg);

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

/// The shape of class indices for logits (C), (N, C) or (N, C, d1, …).
pub fn row_shape(shape: &[usize]) -> Vec<usize> {
    let mut rows = shape.to_vec();
    rows.remove(usize::from(shape.len() > 1));
    rows
}
