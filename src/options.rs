//! The values of scalar options, as they are named and read.

use crate::error::{Error, Result};
use crate::words::Reduction;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarKind {
    Float,
    Int,
    /// Any number of integers.
    Ints,
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// The value of a scalar option.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Float(f64),
    Int(i64),
    Ints(Vec<i64>),
    Bool(bool),
    Choice(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Ints(list) => {
                let words: Vec<_> = list.iter().map(i64::to_string).collect();
                f.write_str(&words.join(","))
            }
            Self::Bool(value) => write!(f, "{value}"),
            Self::Choice(word) => f.write_str(word),
        }
    }
}

impl std::str::FromStr for Reduction {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name).ok_or_else(|| {
            Error::option(
                "reduction",
                format!("{name:?} given, expected none, mean, sum or batchmean"),
            )
        })
    }
}
