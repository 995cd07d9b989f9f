//! `wgloss bench` and `wgloss tune`: kernels timed beside what they are held against, and how the work is best cut.

pub mod bench;
pub mod errors;
pub mod fit;
pub mod tune;
pub mod tuned;

/// What the program is built from; `-dirty` where files had been changed, `unknown` without git.
pub const COMMIT: &str = env!("WGLOSS_COMMIT");
