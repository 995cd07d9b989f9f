//! How near results are to those of exact arithmetic: the error model, by which [`reference`](crate::reference) judges.
//!
//! # Sums
//!
//! Everything is added in f32, pairwise by order alone. Nothing is compensated: a driver's fast math, which is Metal's
//! default, may fold a compensation away, but no driver moves additions across the loops and barriers of these trees.
//! The order is a matter of shape and [`Tuning`], never of limits or of how the work is cut.
//!
//! | step | order | roundings on the longest way, [`Tuning::SOFTWARE`] / [`Tuning::HARDWARE`] |
//! |---|---|---|
//! | quad | (a + b) + (c + d) | 2 / 2 |
//! | quads of a lane | four in a row, then four such runs, and so on: [`lane_depth`] | 12 / 6 |
//! | lanes of a workgroup | halves of each group of [`Tuning::subgroup`] lanes, then halves of the groups | 3 / 8 |
//! | tile of the reduce and elementwise drivers | the above | 17 / 16 |
//! | tiles | the reduce driver again, as often as there is more than one: [`sum_depth`] | 10^8 terms: 35 / 30 |
//! | rows of a tile | those of a lane in fours, the fours in a row, the lanes in halves | 23 / 6 |
//! | columns of a wide row | the columns of a tile as those of a row, tiles in runs of 16 | 1,000,000 columns: 46 / 24 |
//! | columns of a row, or of a pair of rows | [`row_depth`]: quads in fours, 16 of those in a row, 16 such runs in a row, what they make, the lanes | 32,000 columns: 39 / 21 |
//! | columns of a row in a strip (many classes that are not innermost) | quads, 16 of those in a row, 16 such runs in a row, what they make | 150 columns: 22 / – |
//!
//! With a depth d and terms x the error is at most d · 2^-24 · Σ|x| (to first order), the worst case of every rounding
//! on the longest way going one way by half an ulp: 2.1e-6 · Σ|x| for 10^8 terms. Four equal terms in a row add up
//! exactly, so the data that drifts in a running sum does not here, and roundings of other data mostly cancel. The
//! claim is [`SUM`] · Σ|x|, for up to 10^8 terms; `tests/sums.rs` and `wgloss check --exhaustive` hold it on constants,
//! cancelling signs, terms over 12 decades in either order, and one huge term among tiny ones.
//!
//! A reduction along a dimension adds the columns of a row: its error is relative to the sum of their magnitudes, too.
//!
//! The sum of signed terms may be small beside Σ|x|: its relative error is then as much larger.
//!
//! # Terms
//!
//! | step | error |
//! |---|---|
//! | +, -, × | half an ulp; a driver may fuse × and + into one rounding, or not |
//! | division | 2.5 ulps in WGSL and Vulkan, mostly half |
//! | exp(x) | 3 + 2\|x\| ulps. Arguments are at most 0, so it is below 4 ulps of the sum that the exponential joins; that of the peak is left out, for 1 |
//! | log(x) | 3 ulps and those of a division where the shaders make it of the bits of x and a polynomial (`ln`, `log1m`), and of 1 + y for y up to 1 (`log1p`); else WGSL's: 3 ulps, but 2^-21 absolutely for x in [0.5, 2] |
//! | sqrt, x^y | 3 ulps of 1/sqrt; exp2(y log2 x), so ulps in proportion to y log2 x |
//! | subnormal numbers | a GPU may take them and give them as 0: [`FLUSHED`] |
//!
//! A gradient of a loss and of rows' statistics is made of those of each, which may cancel: its error is relative to
//! the sum of their magnitudes, and that of an entropy H to p_c (|log p_c| + H).
//!
//! A term takes at most [`TERM`] units of 2^-24 from all of these, relative to the numbers that it is made of.
//! [`bound`] is that and the additions.
//!
//! # What is ill-conditioned
//!
//! Where terms cancel within a loss (a row's logits against each other, 1 minus a cosine, log t - x of equal
//! distributions), or a kink lies between a number and its neighbours, the result is worth no more than the last digits
//! of the inputs. Such a result is held to what inputs moved by two ulps would make of it, twice over: a loss, which is
//! continuous, with all of them moved, and the logits of a layer with what f32 may lose in their sums. A gradient,
//! which jumps at kinks, may be what it is on either side of one, where inputs that were not chosen are moved
//! ([`nudge`]), equal ones alike, so that ties stay. With numbers below [`UNIT`] rounded away, as they are beside a 1,
//! either may be what that makes of it. Losses of a difference x - t (l1, mse, smooth L1, huber) are never
//! ill-conditioned: f32 has the difference exactly, or rounds it once.
//!
//! # Storage
//!
//! 16-bit operands are exact in f32, and all arithmetic is f32. 16-bit results are f32 results rounded once, to nearest
//! even, with subnormal numbers kept: half an ulp of theirs more ([`admits`]). Reduced losses and statistics are f32
//! always. Numbers beyond the range of f32 on the way, as powers may be, become infinite though the result might not
//! be. A loss or a gradient is on the way before its factors (weights, the upstream gradient, those of the reduction),
//! a sum before it is a mean. A weight or an upstream gradient of 0 makes 0 of what finite logits have become. Nothing
//! else on the way from a finite logit is beyond f32 that the result is not, but for the differences that
//! `cross_entropy` says.

use crate::dtype::Dtype;
use crate::error::Result;
use crate::limits::Limits;
use crate::plan::{Across, SHORT_COLS, Spread, Wide, folds, smallest_tile};
use crate::problem::{Family, Problem, Rows};
use crate::tuning::Tuning;

/// The relative error of one rounding to f32.
pub const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// The error of a sum of up to 10^8 terms, relative to the sum of their magnitudes.
pub const SUM: f64 = 1e-6;

/// Term number i of n.
pub type Term = fn(usize, usize) -> f32;

/// Terms that hurt, by name: the number at an index of so many.
pub const HARD_TERMS: [(&str, Term); 6] = [
    ("equal", |_, _| 0.1),
    ("positive", |i, _| hash(i)),
    ("cancelling", |i, _| {
        (1.0 + 1e-3 * hash(i)).copysign(if i.is_multiple_of(2) { 1.0 } else { -1.0 })
    }),
    ("ascending", |i, n| 10f32.powf(12.0 * i as f32 / n as f32 - 6.0)),
    ("descending", |i, n| 10f32.powf(6.0 - 12.0 * i as f32 / n as f32)),
    ("one huge", |i, n| if i == n / 3 { 0.1 * n as f32 } else { 0.1 }),
];

/// A number in [0, 1) for each index.
fn hash(i: usize) -> f32 {
    ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 24) as f32
}

/// Units of 2^-24 that computing one term may cost, relative to the numbers it is made of.
pub const TERM: f64 = 32.0;

/// Below the smallest normal f32 a GPU may flush to 0, each of a million numbers.
pub const FLUSHED: f64 = f32::MIN_POSITIVE as f64 * 1048576.0;

/// Roundings on the longest way through the sum of so many quads of one lane, a quad's own two left out: four quads in
/// a row, four runs in a row, and so on.
pub fn lane_depth(quads: u64) -> u32 {
    let step = |level: u32| (quads.div_ceil(4u64.pow(level)).min(4)).saturating_sub(1) as u32;
    step(0) + step(1) + step(2) + quads.div_ceil(64).saturating_sub(1) as u32
}

/// Of a tree over so many lanes.
fn halves(lanes: u64) -> u32 {
    lanes.next_power_of_two().ilog2()
}

/// Of a tile with so many items.
fn tile_depth(items: u64, width: u32) -> u32 {
    let quad = halves(items.min(4));
    let width = u64::from(width);
    quad + lane_depth(items.div_ceil(4 * width)) + halves(items.div_ceil(4).min(width))
}

/// Roundings on the longest way through the sum of so many terms of so many bytes, level upon level of tiles.
pub fn sum_depth(terms: u64, bytes: u64, tuning: &Tuning) -> u32 {
    let tile = tuning.tile_of(terms, bytes);
    tile_depth(terms.min(tile), tuning.width) + states_depth(terms.div_ceil(tile), tuning)
}

/// The same through the sum of what so many tiles or rows come to.
fn states_depth(states: u64, tuning: &Tuning) -> u32 {
    let tile = tuning.states_tile();
    let (mut depth, mut left) = (0, states);
    while left > 1 {
        depth += tile_depth(left.min(tile), tuning.width);
        left = left.div_ceil(tile);
    }
    depth
}

/// Roundings on the longest way through the sum of a row's columns over so many lanes: blocks of four quads, which add
/// up in pairs, 16 blocks in a row, 16 such runs in a row, what they make, up to five quads behind them, the lanes. A
/// short row of one lane has quads alone.
pub fn row_depth(cols: u64, lanes: u32) -> u32 {
    let is_short = lanes == 1 && cols <= SHORT_COLS as u64;
    let lanes = u64::from(lanes);
    let blocks = if is_short { 0 } else { cols / (16 * lanes) };
    let behind = (cols.div_ceil(4) - blocks * 4 * lanes).div_ceil(lanes);
    (4 + blocks.min(16)
        + blocks.div_ceil(16).min(16)
        + blocks.div_ceil(256).saturating_sub(1)
        + behind
        + u64::from(halves(lanes))) as u32
}

/// The same in a strip: its quads, 16 of them in a row, 16 such runs in a row, and what they make.
fn strip_depth(cols: u64) -> u32 {
    let quads = cols.div_ceil(4);
    (2 + quads.min(16) + quads.div_ceil(16).min(16) + quads.div_ceil(256)) as u32
}

/// Of the losses of a tile's rows: those of a lane in fours, the fours in a row, the lanes.
fn rows_depth(spread: Spread) -> u32 {
    let of_lane = match spread.turns {
        1 => 0,
        turns => turns.min(4) + turns.div_ceil(4),
    };
    of_lane + halves(u64::from(spread.width / spread.lanes))
}

/// The same of a row in so many tiles of so many columns, each folded by so many lanes: each lane of another workgroup
/// takes some of them, 16 in a row, then the runs of 16.
fn tiled_depth(cols: u64, (tile, lanes, per_row): (u64, u32, u64), tuning: &Tuning) -> u32 {
    let width = Spread::of_columns(tuning).width;
    let tiles = per_row.div_ceil(u64::from(width));
    let merged = tiles.min(16) + tiles.div_ceil(16) + u64::from(halves(width.into()));
    row_depth(cols.min(tile), lanes) + merged as u32
}

/// Roundings on the longest way to a loss: within a row, and to the sum of the losses where they are reduced.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) for rows that no workgroup takes.
pub fn loss_depth(problem: &Problem, limits: &Limits, tuning: &Tuning) -> Result<u32> {
    let terms = problem.term_count();
    let of_rows = |cols: usize, spread: Spread| {
        let row = match spread.is_strip(cols) {
            true => strip_depth(cols as u64),
            false => row_depth(cols as u64, spread.lanes),
        };
        (row, spread.rows_per_tile(), rows_depth(spread))
    };
    let (row, tile, within) = match &problem.family {
        // One row of everything goes through tiles; its gradient has no sum.
        Family::Rows(rows) if rows.whole.is_some() => {
            let input = problem.input();
            return Ok(sum_depth(input.len(), input.dtype.bytes(), tuning));
        }
        Family::Rows(Rows {
            scattered: Some(own), ..
        }) => {
            // Run by run, each a reduction of rows by itself.
            let runs = folds(problem, own);
            return runs
                .iter()
                .try_fold(0, |sum, run| Ok(sum + loss_depth(run, limits, tuning)?));
        }
        Family::Rows(rows) => match (Wide::of(problem, rows, tuning), Across::of(problem, rows, tuning)) {
            (Some(own), _) => {
                let lanes = Spread::of_columns(tuning).lanes;
                (
                    tiled_depth(rows.cols as u64, (own.tile, lanes, own.per_row), tuning),
                    1,
                    0,
                )
            }
            (None, Some(own)) => {
                let tiles = (own.tile, own.lanes(), own.per_row);
                (tiled_depth(rows.cols as u64, tiles, tuning), 1, 0)
            }
            (None, None) => of_rows(rows.cols, Spread::choose(problem, rows, limits, tuning)?),
        },
        Family::Pairs(pairs) => of_rows(pairs.cols, Spread::of_pairs(problem, pairs, limits, tuning)?),
        Family::Elements(_) => {
            // Whatever their tiles are, the longest way is that through the largest and through the most of them.
            let largest = tuning.tile_of(terms, 0);
            (0, smallest_tile(tuning), tile_depth(largest, tuning.width))
        }
    };
    if !problem.is_reduced() {
        return Ok(row);
    }
    Ok(row + within + states_depth(terms.div_ceil(tile), tuning))
}

/// The error allowed to a number made of numbers of this size, by as many additions in a row.
pub fn bound(size: f64, depth: u32) -> f64 {
    (TERM + f64::from(depth)) * UNIT * size + FLUSHED
}

/// The nearest number of a dtype; ties go to even.
pub fn rounded(dtype: Dtype, x: f64) -> f64 {
    match dtype {
        Dtype::F16 => half::f16::from_f64(x).to_f64(),
        Dtype::Bf16 => half::bf16::from_f64(x).to_f64(),
        _ => f64::from(x as f32),
    }
}

/// A result of a dtype is within an error of what it should be. NaN is only NaN, an infinity only itself, which is also
/// what a dtype makes of numbers beyond its range. A 16-bit result lies between the roundings of the least and the most
/// that f32 may be, which is its error and half an ulp of theirs.
pub fn admits(dtype: Dtype, got: f32, want: f64, error: f64) -> bool {
    admits_between(dtype, got, want, error, error)
}

/// The same where the errors to either side differ.
pub fn admits_between(dtype: Dtype, got: f32, want: f64, below: f64, above: f64) -> bool {
    let got = f64::from(got);
    if want.is_nan() {
        return got.is_nan();
    }
    if want.is_infinite() {
        return got == want;
    }
    (rounded(dtype, want - below)..=rounded(dtype, want + above)).contains(&got)
}

/// The distance from a value, rounded to a dtype, to the next larger one; NaN beyond its range.
pub fn ulp(dtype: Dtype, x: f64) -> f64 {
    let (digits, least) = match dtype {
        Dtype::F16 => (10, -24),
        Dtype::Bf16 => (7, -133),
        _ => (23, -149),
    };
    let near = rounded(dtype, x).abs();
    if !near.is_finite() {
        return f64::NAN;
    }
    let exponent = ((near.to_bits() >> 52) as i32 - 1023).max(least + digits);
    2f64.powi(exponent - digits)
}

/// A coin for each number, the same at every run (SplitMix64's finish over all words).
pub fn coin(words: [u64; 3]) -> bool {
    let mut state = 0u64;
    for word in words {
        state = state.wrapping_add(word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    state & 1 == 1
}

/// A number two ulps off, upwards or downwards in size.
pub fn moved(x: f32, outwards: bool) -> f32 {
    let step = 2.0 * f32::EPSILON;
    x * if outwards { 1.0 + step } else { 1.0 - step }
}

/// The same but for multiples of a half: those are chosen numbers, whose ties and ends are meant.
pub fn nudge(x: f32, outwards: bool) -> f32 {
    if (2.0 * f64::from(x)).fract() == 0.0 || !x.is_finite() {
        return x;
    }
    moved(x, outwards)
}
