//! Everything that can go wrong, each with the numbers in it.

use crate::values::Values;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option outside its domain: wrong before any tensor is looked at.
    #[error("{name}: {message}")]
    Option { name: &'static str, message: String },

    /// A tensor of the wrong shape, dtype, device, usage or size for its place.
    #[error("{name}: {message}")]
    Operand { name: &'static str, message: String },

    /// A problem that no way of splitting brings under the adapter's limits, or those that were set.
    #[error("beyond the limits: {0}")]
    Limit(String),

    /// A stream's memory is less than it takes for one part and what stays in memory.
    #[error("memory: {given} bytes are allowed, the stream takes at least {least}: {what}")]
    Memory {
        /// So many bytes would do.
        least: u64,
        given: u64,
        what: String,
    },

    /// No adapter fits the request.
    #[error("no adapter: {0}")]
    NoAdapter(String),

    /// wgpu or the device refused or failed.
    #[error("device: {0}")]
    Device(String),

    /// A result of [`crate::Loss::encode`] or [`crate::Optimizer::encode`] is read or computed with, and what computes
    /// it was never submitted.
    #[error(
        "{name}: was recorded into a command encoder that was {}",
        match .dropped {
            true => "dropped, or submitted without the one that computes its operands",
            false => "not submitted yet; submit it first",
        }
    )]
    NotSubmitted {
        /// The result, or the operand of a later call.
        name: &'static str,
        /// There will be no result: the encoder is gone, or was submitted before, or without, what its operands come
        /// from.
        dropped: bool,
    },

    /// The device has no memory left for what a call needs. The engine works on with what fits.
    #[error("out of memory on the device: {wanted} bytes wanted for {what}")]
    OutOfMemory {
        what: String,
        /// Bytes of the buffer that could not be made.
        wanted: u64,
    },

    /// The device is gone: unplugged, reset by its driver, or destroyed. A new engine works where an adapter is left.
    #[error("the device was lost: {0}")]
    DeviceLost(String),

    /// Whoever watches a stream ended it.
    #[error("interrupted")]
    Interrupted,

    /// A tensor's pages could not be read, or a result not be written.
    #[error("{name}: {source}")]
    Io { name: &'static str, source: std::io::Error },

    /// Class targets outside `0..classes`. The rows concerned have a NaN loss and a zero gradient; `values` still
    /// carries every output.
    #[error(
        "target: {count} of {rows} class indices out of range: the first is {value} in row {first_row}, \
         expected 0 to {}{}", .classes.saturating_sub(1),
        .ignore_index.map(|index| format!(" or the ignore_index {index}")).unwrap_or_default()
    )]
    BadLabels {
        count: u64,
        rows: u64,
        first_row: u64,
        value: i64,
        classes: u64,
        ignore_index: Option<i64>,
        values: Box<Values>,
    },

    /// Numbers of an operand that break a rule: those that PyTorch refuses, and what [`crate::Checks`] asks to be told
    /// of. `values` still carries every output.
    #[error("{name}: {count} of {of} elements out of range: the first is {value} at {first:?}, expected {expected}")]
    BadValues {
        name: &'static str,
        /// Stops at 2^32 - 1.
        count: u64,
        of: u64,
        /// Coordinates in the operand's shape.
        first: Vec<usize>,
        value: f32,
        expected: &'static str,
        values: Box<Values>,
    },
}

impl Error {
    pub(crate) fn option(name: &'static str, message: impl Into<String>) -> Self {
        Self::Option {
            name,
            message: message.into(),
        }
    }

    /// The same of another operand.
    pub(crate) fn named(self, name: &'static str) -> Self {
        match self {
            Self::Operand { name: before, message } => Self::operand(name, format!("{before} {message}")),
            other => other,
        }
    }

    pub(crate) fn operand(name: &'static str, message: impl Into<String>) -> Self {
        Self::Operand {
            name,
            message: message.into(),
        }
    }
}

/// Refuses NaN and infinities.
pub(crate) fn finite(name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::option(name, format!("{value} given, expected a finite number")))
}

/// Refuses NaN, infinities and numbers below `low`.
pub(crate) fn at_least(name: &'static str, value: f64, low: f64) -> Result<()> {
    finite(name, value)?;
    if value >= low {
        return Ok(());
    }
    Err(Error::option(name, format!("{value} given, expected at least {low}")))
}

/// Refuses NaN, infinities and numbers up to `low`.
pub(crate) fn above(name: &'static str, value: f64, low: f64) -> Result<()> {
    finite(name, value)?;
    if value > low {
        return Ok(());
    }
    Err(Error::option(name, format!("{value} given, expected more than {low}")))
}
