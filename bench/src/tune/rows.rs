//! What is measured of each value: a ladder of candidates, and the rows that it governs.

use wgloss::tuning::{Class, Field, MAX_HELD};
use wgloss::{Dtype, Limits, Mode, Tuning};

use crate::bench::measure::Job;
use crate::bench::rows::Options;

/// A job in one mode.
pub struct ModeJob {
    pub job: Job,
    pub mode: Mode,
}

impl ModeJob {
    /// `mse 4194304 f32 fused`
    pub fn name(&self) -> String {
        format!("{} {}", self.job.name(), self.mode.name())
    }
}

/// Elements of a row's first tensor, about: some milliseconds of a slow adapter of the class.
pub fn elements(class: Class) -> usize {
    match class {
        Class::Discrete => 1 << 25,
        Class::Integrated => 1 << 24,
        Class::Software8 | Class::Software4 => 1 << 22,
    }
}

/// The values around that of `base`, itself among them, that the drivers work with on a device.
pub fn ladder(field: &Field, base: &Tuning, limits: &Limits) -> Vec<u64> {
    let own = (field.get)(base);
    match field.name {
        "held" => return (0..=MAX_HELD.into()).step_by(4).collect(), // all that there are
        "block_tails" => return vec![0, 1],
        "workgroups" if own == 0 => return vec![0, 512],
        _ => {}
    }
    let around = match field.name {
        // No more: compilers that take seconds for larger packs are what the class's value minds.
        "pack" => (0..=own.ilog2()).map(|n| 1 << n).collect(),
        _ => vec![own / 4, own / 2, own, own.saturating_mul(2), own.saturating_mul(4)],
    };
    let mut values: Vec<u64> = around
        .into_iter()
        .filter(|&value| fits(field, base, value, limits))
        .collect();
    values.dedup();
    values
}

/// `base` with another value.
pub fn with(field: &Field, base: &Tuning, value: u64) -> Tuning {
    let mut tuning = *base;
    (field.set)(&mut tuning, value);
    tuning
}

fn fits(field: &Field, base: &Tuning, value: u64, limits: &Limits) -> bool {
    let tuning = with(field, base, value);
    // A width that the device would bring down is that of another candidate, or none.
    value > 0 && tuning.check().is_ok() && tuning.within(limits) == tuning
}

/// The rows that a value governs, with about so many elements each. A threshold has one row at each candidate but the
/// least: it is what tells the one before from it.
pub fn rows(field: &Field, values: &[u64], elements: usize) -> Vec<ModeJob> {
    let most = |size: usize, most: usize| size.clamp(1, most);
    let at = |cols: u64, most_rows: usize| vec![most(elements / cols as usize, most_rows), cols as usize];
    let beyond_least = || values.iter().skip(1).copied();
    let sum: Options = &[("op", "sum")];
    let fused = |name, shape| row(name, &[], shape, Mode::Fused);
    let entropy = |shape| fused("cross_entropy", shape);
    let list = match field.name {
        "width" => vec![fused("mse", vec![elements]), entropy(at(10, usize::MAX))],
        "tile" => vec![
            row("reduce", sum, vec![elements], Mode::Forward),
            fused("mse", vec![elements]),
        ],
        "row_width" => vec![entropy(at(32_000, usize::MAX)), entropy(at(8192, usize::MAX))],
        "subgroup" => vec![entropy(at(8192, usize::MAX)), entropy(at(512, usize::MAX))],
        "subgroup_cols" | "lane_cols" => beyond_least().map(|cols| entropy(at(cols, usize::MAX))).collect(),
        "lane_rows" | "pack" => {
            // A side of at most 128: classes in the middle, as those of pixels are.
            let side = most((elements / 21).isqrt(), 128);
            let images = most(elements / (21 * side * side), usize::MAX);
            // So many classes go in strips, where these may be.
            let of_150 = vec![most(elements / (150 * side * side), usize::MAX), 150, side, side];
            vec![
                entropy(at(10, usize::MAX)),
                entropy(vec![images, 21, side, side]),
                entropy(of_150),
            ]
        }
        "held" => vec![
            entropy(at(1000, usize::MAX)),
            entropy(at(8192, usize::MAX)),
            entropy(at(32_000, usize::MAX)),
            entropy(at(250, 60)),
        ],
        "block_tails" => vec![entropy(at(1000, usize::MAX)), entropy(at(50_000, usize::MAX))],
        "workgroups" => vec![entropy(at(50_000, 8)), fused("mse", vec![elements.min(1 << 20)])],
        "wide_tile" => vec![entropy(at(1_000_000, 4))],
        "wide_cols" => beyond_least().map(|cols| entropy(at(cols, 8))).collect(),
        _ => Vec::new(),
    };
    list.into_iter().flatten().collect()
}

fn row(name: &str, options: Options, shape: Vec<usize>, mode: Mode) -> Option<ModeJob> {
    let info = wgloss::find(name)?;
    let job = Job {
        info,
        options,
        shape,
        dtype: Dtype::F32,
    };
    Some(ModeJob { job, mode })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit;
    use wgloss::tuning::TABLE;

    fn limits() -> Limits {
        Limits::new(&wgpu::Limits::default())
    }

    #[test]
    fn candidates_of_every_class_are_valid_and_have_the_classes_own_among_them() {
        for (class, tuning) in TABLE {
            let tuning = tuning.within(&limits());
            for field in Tuning::FIELDS {
                let values = ladder(&field, &tuning, &limits());
                assert!(values.contains(&(field.get)(&tuning)), "{class:?} {}", field.name);
                assert!((2..=5).contains(&values.len()), "{class:?} {}: {values:?}", field.name);
                assert!(
                    values.is_sorted_by(|a, b| a < b),
                    "{class:?} {}: {values:?}",
                    field.name
                );
                values
                    .iter()
                    .for_each(|&value| with(&field, &tuning, value).check().unwrap());
            }
        }
        let of = |name: &str, tuning: Tuning| {
            let field = Tuning::FIELDS.into_iter().find(|field| field.name == name).unwrap();
            ladder(&field, &tuning.within(&limits()), &limits())
        };
        assert_eq!(of("tile", Tuning::SOFTWARE), [2048, 4096, 8192, 16_384, 32_768]);
        // A smaller tile would not suit the width, nor a wider workgroup the device.
        assert_eq!(of("tile", Tuning::HARDWARE), [16_384, 32_768, 65_536]);
        assert_eq!(of("width", Tuning::HARDWARE), [64, 128, 256]);
        assert_eq!(of("lane_rows", Tuning::HARDWARE), [1, 2, 4]);
    }

    #[test]
    fn every_value_has_rows_that_losses_take() {
        for (class, tuning) in TABLE {
            let tuning = tuning.within(&limits());
            for elements in [elements(class), 1 << 16] {
                for field in Tuning::FIELDS {
                    let values = ladder(&field, &tuning, &limits());
                    let rows = rows(&field, &values, elements);
                    assert!(!rows.is_empty(), "{}", field.name);
                    for row in &rows {
                        let loss = (row.job.info.new)();
                        assert!(
                            fit::rule(loss.as_ref(), &row.job.shape, true).is_some(),
                            "{}",
                            row.name()
                        );
                    }
                    if field.name.ends_with("_cols") {
                        let cols: Vec<u64> = rows.iter().map(|row| row.job.shape[1] as u64).collect();
                        assert_eq!(cols, values[1..]);
                    }
                }
            }
        }
    }
}
