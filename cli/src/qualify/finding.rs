//! What a test found.

use super::lab::Lab;

/// Whether a test runs as it is, or with a fault that it has to see.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    Seeded,
}

impl Fault {
    /// Bits that a kernel turns over.
    pub fn bits(self, bits: u32) -> u32 {
        match self {
            Self::None => 0,
            Self::Seeded => bits,
        }
    }

    pub fn is_seeded(self) -> bool {
        self == Self::Seeded
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Passed,
    Failed,
    /// Told, and neither right nor wrong.
    Note,
    /// The adapter has nothing of the kind.
    Skipped,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Note => "note",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Finding {
    pub verdict: Verdict,
    /// What was seen, in words.
    pub seen: String,
    /// The same in numbers, by name.
    pub figures: Vec<(&'static str, f64)>,
}

impl Finding {
    pub fn new(verdict: Verdict, seen: impl Into<String>) -> Self {
        Self {
            verdict,
            seen: seen.into(),
            figures: Vec::new(),
        }
    }

    /// Passed where there is nothing to tell against it.
    pub fn judged(right: impl Into<String>, wrong: Option<String>) -> Self {
        match wrong {
            None => Self::new(Verdict::Passed, right),
            Some(wrong) => Self::new(Verdict::Failed, wrong),
        }
    }

    pub fn with(self, name: &'static str, value: f64) -> Self {
        self.and(true, name, value)
    }

    /// The same of what was measured; else it has no such figure.
    pub fn and(mut self, is_measured: bool, name: &'static str, value: f64) -> Self {
        self.figures.extend(is_measured.then_some((name, value)));
        self
    }
}

/// A test: what it is called, what it asks, and how it looks. An error of the way there fails it.
pub struct Test {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn(&Lab, Fault) -> Result<Finding, String>,
}

/// The first place where words differ.
pub fn differs(got: &[u32], want: impl IntoIterator<Item = u32>) -> Option<String> {
    let mut wanted = 0;
    for (at, want) in want.into_iter().enumerate() {
        wanted += 1;
        match got.get(at) {
            Some(&got) if got == want => {}
            Some(got) => return Some(format!("word {at} is {got:#010x}, expected {want:#010x}")),
            None => return Some(format!("{} words, expected more", got.len())),
        }
    }
    (got.len() != wanted).then(|| format!("{} words, expected {wanted}", got.len()))
}
