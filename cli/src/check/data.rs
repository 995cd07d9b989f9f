//! Numbers that hurt: peaks, ties, saturation, and what f32 cannot add.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;
use wgloss::OperandKind;

/// Seeded: the same numbers everywhere.
pub struct Data(Pcg64);

impl Data {
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Pcg64::new(u128::from(seed), u128::from(stream)))
    }

    pub fn uniform(&mut self) -> f32 {
        self.0.random()
    }

    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.0.random_range(0..n) }
    }

    pub fn flip(&mut self) -> bool {
        self.0.random()
    }

    pub fn pick<T: Clone + Default>(&mut self, list: &[T]) -> T {
        list.choose(&mut self.0).cloned().unwrap_or_default()
    }

    /// A standard normal number (Box and Muller).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.uniform()).cos()
    }

    /// Factors, some of them 0.
    pub fn weights(&mut self, n: usize) -> Vec<f32> {
        (0..n)
            .map(|_| if self.below(8) == 0 { 0.0 } else { 2.0 * self.uniform() })
            .collect()
    }

    /// Signed numbers.
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }

    /// A row of scores. `spare` is a class that stays finite; `None` keeps all of them finite.
    pub fn row(&mut self, cols: usize, spare: Option<usize>) -> Vec<f32> {
        let mut row: Vec<f32> = (0..cols).map(|_| 3.0 * self.normal()).collect();
        let kind = if cols == 0 { 8 } else { self.below(9) };
        match kind {
            // One peak; huge numbers of either sign; ties, of all or for the first place; each number for itself.
            0 => row[self.below(cols)] *= 20.0,
            1 => row
                .iter_mut()
                .for_each(|x| *x = if *x < 0.0 { *x - 1e4 } else { *x + 1e4 }),
            2 => row.fill(1.5),
            3 => (0..3).for_each(|_| row[self.below(cols)] = 12.0),
            4 => row.iter_mut().for_each(|x| *x = self.logit()),
            5 | 6 => {
                if let Some(spare) = spare {
                    let blocked = |c: usize| c != spare && (kind == 6 || c.is_multiple_of(3));
                    // Some classes impossible, or all but one.
                    (0..cols)
                        .filter(|&c| blocked(c))
                        .for_each(|c| row[c] = f32::NEG_INFINITY);
                }
            }
            _ => {}
        }
        row
    }

    /// A number of its own for an operand. `logs`: where it may be a logarithm, it is one.
    pub fn number(&mut self, kind: OperandKind, logs: bool) -> f32 {
        match kind {
            OperandKind::Logit => self.logit(),
            OperandKind::LogProbability => self.log_probability(),
            OperandKind::MaybeLogProbability if logs => self.log_probability(),
            OperandKind::UnitInterval | OperandKind::MaybeLogProbability => self.unit(),
            OperandKind::Rate if logs => 2.0 * self.normal(),
            OperandKind::Rate => (2.0 * self.normal()).exp(),
            OperandKind::Count => self.below(8) as f32 * if self.below(8) == 0 { 10.0 } else { 1.0 },
            OperandKind::Variance => (1.5 * self.normal()).exp(),
            OperandKind::Sign => 1.0 - 2.0 * self.below(2) as f32,
            _ => self.real(),
        }
    }

    fn real(&mut self) -> f32 {
        let x = 3.0 * self.normal();
        match self.below(16) {
            0 => 20.0 * x,
            1 | 2 => self.pick(&[0.0, 1.0, -1.0, 0.5]),
            _ => x,
        }
    }

    fn logit(&mut self) -> f32 {
        let x = 3.0 * self.normal();
        match self.below(16) {
            0 => 20.0 * x,
            1 => 100.0,
            2 => -100.0,
            3 => 0.0,
            4 => 1e4 * x.signum(),
            _ => x,
        }
    }

    fn log_probability(&mut self) -> f32 {
        match self.below(8) {
            0 => 0.0,
            1 => -100.0,
            _ => -(3.0 * self.normal()).abs(),
        }
    }

    /// A number in [0, 1], often one of its ends.
    fn unit(&mut self) -> f32 {
        match self.below(4) {
            0 => 0.0,
            1 => 1.0,
            2 => self.uniform(),
            _ => 0.5 + 0.5 * (self.uniform() - 0.5),
        }
    }

    /// Probabilities of classes, 0 where the logit is -inf; sometimes all on one class.
    pub fn probabilities(&mut self, logits: &[f32], spare: usize) -> Vec<f32> {
        let hard = self.below(3) == 0;
        let mut p: Vec<f32> = logits
            .iter()
            .enumerate()
            .map(|(c, x)| match (hard, x.is_finite()) {
                (true, _) => f32::from(u8::from(c == spare)),
                (false, true) => (2.0 * self.normal()).exp(),
                (false, false) => 0.0,
            })
            .collect();
        let total: f32 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= total);
        p
    }

    /// A row of classes that -1 ends, if it does not fill the row.
    pub fn list(&mut self, cols: usize) -> Vec<i64> {
        let named = self.below(cols.min(6) + 1);
        let class = |c: usize, data: &mut Self| if c < named { data.below(cols) as i64 } else { -1 };
        (0..cols).map(|c| class(c, self)).collect()
    }
}
