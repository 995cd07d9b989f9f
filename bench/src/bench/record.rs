//! What a run of `wgloss bench` measured: printed, saved as JSON, and read back by later runs.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compare::Comparison;
use super::rows::shape_text;

/// The form of the records below. Records of another are passed over.
pub const SCHEMA: u64 = 2;

/// A record is some hundred kilobytes; what is far longer is none.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
pub struct Record {
    pub schema: u64,
    /// Of wgloss.
    pub version: String,
    /// What it was built from; `-dirty` where the files had been changed, `unknown` without git.
    pub commit: String,
    /// UTC, as RFC 3339 writes it.
    pub date: String,
    pub adapter: String,
    pub driver: String,
    pub backend: String,
    /// Whether device times are the device's own; else `gb_per_s` and shares go by the clock on the wall.
    pub timestamps: bool,
    pub tuning: String,
    /// Whether that is another than the class's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tuned: bool,
    pub runs: usize,
    pub rows: Vec<Row>,
    /// Each once, with the samples of all rows that it stood beside.
    pub ceilings: Vec<Ceiling>,
    pub baselines: Vec<Baseline>,
    /// Of optimizers, where no loss is asked for by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Of matrices, where they are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<Product>,
    /// Losses of layers, beside those products.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    pub fixed: Vec<Fixed>,
    /// Rows of many sizes, for the picture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweep: Vec<Row>,
    /// Rows that were not timed, and why.
    pub failed: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Comparison>,
}

/// The median of samples, and what they lie between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Median {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// Times in milliseconds, of so many bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Times {
    pub device_ms: Option<Median>,
    pub wall_ms: Median,
    /// By the device's clock where it has one.
    pub gb_per_s: f64,
}

/// A loss on a shape, in a mode.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub loss: String,
    pub options: BTreeMap<String, String>,
    pub shape: Vec<usize>,
    pub dtype: String,
    pub reduction: String,
    pub mode: String,
    /// The bytes that cannot be avoided: each operand and each result once.
    pub bytes: u64,
    pub traffic: Vec<Part>,
    #[serde(flatten)]
    pub times: Times,
    /// The kernel that the row is held against, in the same rounds.
    pub ceiling: Against,
    /// The row's GB/s over the ceiling's; least and most are those of single rounds.
    pub share: Median,
    /// Of 16 bits: how many times as fast as the same row in f32 of the same run, by medians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_f32: Option<f64>,
    /// The labels of the pipelines of its dispatches, in order, each told once.
    pub variant: Vec<String>,
    pub dispatches: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub bytes: u64,
}

/// A ceiling beside one row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Against {
    pub kind: Kind,
    pub bytes: u64,
    #[serde(flatten)]
    pub times: Times,
}

/// What a ceiling does with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Reads them and adds them up.
    Read,
    /// Reads one half and writes the other.
    Copy,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Copy => "copy",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ceiling {
    pub kind: Kind,
    /// Read and written.
    pub bytes: u64,
    #[serde(flatten)]
    pub times: Times,
    pub variant: Vec<String>,
    /// `copy_buffer_to_buffer` of half as many bytes, which reads and writes as many.
    pub buffer_copy: Times,
    /// The same in the host's memory, by the clock on the wall.
    pub memcpy: Memcpy,
    /// The same ceiling in the newest record of this adapter that has it.
    pub last: Option<Last>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memcpy {
    pub threads: usize,
    #[serde(flatten)]
    pub times: Times,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Last {
    pub gb_per_s: f64,
    pub date: String,
    pub driver: String,
    pub commit: String,
}

/// A kernel that is not ours to be proud of, beside the read ceiling of as many bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Baseline {
    pub name: String,
    pub elements: usize,
    pub bytes: u64,
    #[serde(flatten)]
    pub times: Times,
    /// Its time over the read ceiling's.
    pub slower: Median,
    pub variant: Vec<String>,
}

/// A step of an optimizer, or what stands before one, beside the copy of as many bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub elements: usize,
    pub bytes: u64,
    #[serde(flatten)]
    pub times: Times,
    /// Of the copy's rate.
    pub share: Median,
    pub variant: Vec<String>,
}

/// A product of matrices, beside multiply-adds between registers alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Product {
    pub name: String,
    /// Rows, features and classes of the layer.
    pub shape: Vec<usize>,
    /// Of the operands, but for gradients, which are f32.
    pub dtype: String,
    pub multiply_adds: u64,
    pub gflop_per_s: f64,
    pub registers_gflop_per_s: f64,
    /// Of the rate between registers.
    pub share: Median,
    pub bytes: u64,
    #[serde(flatten)]
    pub times: Times,
    pub variant: Vec<String>,
    pub dispatches: usize,
}

/// The loss of a layer, or one of its parts, beside the bare product of its logits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layer {
    pub name: String,
    /// Rows, features and classes.
    pub shape: Vec<usize>,
    pub dtype: String,
    pub ms: Median,
    pub over_product: Median,
    /// Of logits and scratch, beside operands and gradients.
    pub bytes: u64,
    pub dispatches: usize,
    pub variant: Vec<String>,
}

/// A cost that does not depend on the size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fixed {
    pub name: String,
    pub what: String,
    /// `us` or `per_s`.
    pub unit: String,
    #[serde(flatten)]
    pub spread: Median,
}

impl Median {
    /// Of at least one sample.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let last = sorted.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(sorted.len() / 2)),
            min: at(0),
            max: at(last),
        }
    }

    pub fn times(&self, factor: f64) -> Self {
        Self {
            median: factor * self.median,
            min: factor * self.min,
            max: factor * self.max,
        }
    }

    pub fn holds(&self, x: f64) -> bool {
        (self.min..=self.max).contains(&x)
    }
}

impl Times {
    pub fn new(device_ms: Option<Median>, wall_ms: Median, bytes: u64) -> Self {
        let best = device_ms.unwrap_or(wall_ms).median;
        Self {
            device_ms,
            wall_ms,
            gb_per_s: bytes as f64 / 1e6 / best.max(1e-9),
        }
    }

    /// By the best clock there is.
    pub fn best(&self) -> Median {
        self.device_ms.unwrap_or(self.wall_ms)
    }
}

impl Row {
    /// `reduce op=max 33554432 f32 forward`
    pub fn name(&self) -> String {
        self.name_in(&self.dtype)
    }

    /// The name of the row that differs in nothing but the dtype.
    fn name_in(&self, dtype: &str) -> String {
        format!("{} {} {dtype} {}", self.title(), shape_text(&self.shape), self.mode)
    }

    /// `reduce op=max`
    pub fn title(&self) -> String {
        let options = self.options.iter().map(|(name, word)| format!(" {name}={word}"));
        self.loss.clone() + &options.collect::<String>()
    }

    /// `input 131,072,000 + target 8,192 + loss 4`
    pub fn formula(&self) -> String {
        let parts = self
            .traffic
            .iter()
            .map(|part| format!("{} {}", part.name, grouped(part.bytes)));
        parts.collect::<Vec<_>>().join(" + ")
    }
}

/// Says of each row of 16 bits how it stands beside that in f32, where there is one.
fn hold_against_f32(rows: &mut [Row]) {
    let f32_rows = rows.iter().filter(|row| row.dtype == "f32");
    let times: BTreeMap<String, Times> = f32_rows.map(|row| (row.name(), row.times.clone())).collect();
    for row in rows.iter_mut().filter(|row| row.dtype != "f32") {
        let beside = times.get(&row.name_in("f32"));
        row.over_f32 = beside.map(|own| own.best().median.max(1e-9) / row.times.best().median.max(1e-9));
    }
}

/// A number with commas between its thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Byte counts so close that one ceiling serves both.
pub fn is_close(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= a.max(b) / 100
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let value = json_file(path, "record of wgloss bench")?;
        match value.get("schema").map(|schema| (schema, schema.as_u64())) {
            None => {
                return Err(format!(
                    "has no schema number: a record of an earlier version, or none of wgloss bench; this version reads schema \
                     {SCHEMA}"
                ));
            }
            Some((_, Some(SCHEMA))) => {}
            Some((other, _)) => {
                return Err(format!(
                    "is a record of schema {other}; this version reads schema {SCHEMA}"
                ));
            }
        }
        let record: Self =
            serde_json::from_value(value).map_err(|error| format!("is a broken record of wgloss bench: {error}"))?;
        Ok(record)
    }

    /// What hangs on all rows and ceilings that were measured so far.
    pub fn so_far(&mut self, ceilings: Vec<Ceiling>) {
        self.ceilings = ceilings;
        hold_against_f32(&mut self.rows);
    }

    /// Where the record goes in a folder: `llvmpipe-mesa-22.3.6-20261121T120000Z.json`.
    pub fn file(&self, folder: &Path) -> PathBuf {
        let date: String = self.date.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        folder.join(format!("{}-{date}.json", slug(&[&self.adapter, &self.driver])))
    }
}

/// The JSON in a file that should be a `what`.
///
/// # Errors
/// What is wrong with the file.
pub fn json_file(path: &Path, what: &str) -> Result<Value, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("is longer than {MOST_BYTES} bytes, and no {what}"));
    }
    serde_json::from_str(&text).map_err(|error| format!("is no {what}: {error}"))
}

/// The words of texts, each once, as a file's name takes them: `llvmpipe-mesa-22.3.6`.
pub fn slug(texts: &[&str]) -> String {
    // What stands in brackets tells versions of other things.
    let plain = |text: &&str| text.split('(').next().unwrap_or_default().to_lowercase();
    let text = texts.iter().map(plain).collect::<Vec<_>>().join(" ");
    let mut words: Vec<&str> = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.') {
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    words.join("-")
}

/// The records of an adapter in a folder, newest first, and the names of the files that are none, or of another schema.
pub fn earlier(folder: &Path, adapter: &str) -> (Vec<Record>, Vec<String>) {
    let (mut records, mut others) = (Vec::new(), Vec::new());
    // A folder that went away since it was looked at has none.
    for path in std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
    {
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        match Record::read(&path) {
            Ok(record) if record.adapter == adapter => records.push(record),
            Ok(_) => {}
            Err(_) => others.extend(path.file_name().map(|name| name.to_string_lossy().into_owned())),
        }
    }
    records.sort_by(|a, b| b.date.cmp(&a.date));
    others.sort();
    (records, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        let all = [(0, "0"), (999, "999"), (1000, "1,000"), (131_072_000, "131,072,000")];
        for (n, text) in all {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn a_median_lies_between_its_neighbours() {
        let spread = |samples: &[f64]| Median::of(samples);
        assert_eq!(spread(&[3.0, 1.0, 2.0]).median, 2.0);
        let even = spread(&[4.0, 1.0, 2.0, 3.0]);
        assert_eq!((even.median, even.min, even.max), (2.5, 1.0, 4.0));
        assert!(even.holds(1.0) && even.holds(4.0) && !even.holds(4.1));
    }
}
