//! What the commands share: the files that they read and write, the lines that they print, the arguments that several
//! of them have, and how they fail. Nothing here computes.

pub mod args;
pub mod draft;
pub mod drivers;
pub mod files;
pub mod fit;
pub mod interrupt;
pub mod keyed;
pub mod names;
pub mod npy;
pub mod npz;
pub mod numbers;
pub mod picture;
pub mod place;
pub mod positional;
pub mod print;
pub mod progress;
pub mod source;

/// Why a command did not do what was asked.
#[derive(Debug, PartialEq)]
pub enum Failure {
    /// The command line alone is wrong: exit code 2.
    Usage(String),
    /// A file, a shape, a device or a comparison: exit code 1.
    Failed(String),
    /// Whoever read the output has read enough, as `head` does.
    Closed,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) => f.write_str(message),
            Self::Closed => f.write_str("the reader of the output has gone"),
        }
    }
}

impl From<wgloss::Error> for Failure {
    fn from(error: wgloss::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
