//! Files written whole or not at all.

use std::ffi::OsStr;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use wgloss::Dtype;
use wgloss::problem::Problem;
use wgloss_shell::draft::Draft;
use wgloss_shell::place::{STDOUT, place};
use wgloss_shell::{Failure, files, keyed, npy, numbers};

use crate::parts::{Part, Product};

/// Where an array is to be written, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Standard output, as .npy.
    Stdout,
    Npy(PathBuf),
    /// Under a key.
    Safetensors(PathBuf, String),
}

impl Target {
    /// Of `--option file`; `key` is that of a .safetensors file which is named without one. Finds what is wrong with
    /// the name and its folder.
    pub fn new(option: &str, given: &OsStr, key: impl FnOnce() -> String) -> Result<Self, Failure> {
        if given == STDOUT {
            return match std::io::stdout().is_terminal() {
                true => Err(Failure::Usage(format!(
                    "--{option} -: standard output is a terminal, and a .npy file is no text; send it on with > or |, or \
                     name a file"
                ))),
                false => Ok(Self::Stdout),
            };
        }
        let (path, own_key) = files::location(given);
        let place = place(option, given)?;
        if files::is_safetensors(path) {
            let key = own_key.map_or_else(key, str::to_owned);
            return Ok(Self::Safetensors(place, key));
        }
        match path.extension() {
            None => Ok(Self::Npy(place)),
            Some(own) if own.eq_ignore_ascii_case("npy") => Ok(Self::Npy(place)),
            Some(other) => Err(Failure::Usage(format!(
                "--{option} {}: there is no way to write .{}; name a file .npy or .safetensors",
                given.to_string_lossy(),
                other.to_string_lossy()
            ))),
        }
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::Npy(path) | Self::Safetensors(path, _) => Some(path),
        }
    }

    /// Refuses what it cannot hold. `cure` is another way than a file of the other kind.
    pub fn check(&self, dtype: impl Into<numbers::Dtype>, cure: &str) -> Result<(), String> {
        let dtype = dtype.into();
        let is_held = matches!(self, Self::Safetensors(..)) || npy::descr(dtype).is_some();
        let what = if *self == Self::Stdout {
            "what goes to standard output is a .npy file, which"
        } else {
            "a .npy file"
        };
        match is_held {
            true => Ok(()),
            false => Err(format!(
                "{what} cannot hold {}; name a file that ends in .safetensors{cure}",
                dtype.name()
            )),
        }
    }

    /// The file under way, behind its header. Messages begin with the label.
    pub fn draft(&self, label: String, dtype: impl Into<numbers::Dtype>, shape: &[usize]) -> Result<Draft, Failure> {
        let dtype = dtype.into();
        let header = match self {
            Self::Safetensors(_, key) => keyed::header(&[(key, dtype, shape)]),
            Self::Npy(_) | Self::Stdout => npy::header(dtype, shape),
        };
        let header = header.map_err(|why| Failure::Failed(format!("{label}: {why}")))?;
        let length = shape.iter().map(|&size| size as u64).product::<u64>() * dtype.bytes() as u64;
        let draft = match self.path() {
            Some(path) => Draft::new(label, path, &header, length),
            None => Draft::to_stdout(label, &header, length),
        };
        draft.map_err(Failure::Failed)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path() {
            Some(path) => path.display().fmt(f),
            None => f.write_str("standard output"),
        }
    }
}

/// A file to be written.
struct Output {
    product: Product,
    /// As the user named it.
    given: String,
    target: Target,
}

/// The files that a command is to write: what each holds, and where it goes.
#[derive(Default)]
pub struct Outputs {
    list: Vec<Output>,
}

impl Outputs {
    /// Adds `--option file`. Finds what is wrong with the path before anything is computed.
    pub fn add(&mut self, product: Product, given: &OsStr) -> Result<(), Failure> {
        let option = &product.option;
        let target = Target::new(option, given, || product.key())?;
        let given = given.to_string_lossy().into_owned();
        if let Some(other) = self.list.iter().find(|other| other.target.path() == target.path()) {
            let (other, given) = (&other.product.option, given.as_str());
            let message = match target {
                Target::Stdout => format!("--{other} and --{option} are both -, and there is one standard output"),
                _ => format!("--{other} and --{option} name the same file {given}"),
            };
            return Err(Failure::Usage(message));
        }
        self.list.push(Output { product, given, target });
        Ok(())
    }

    /// One of them goes to standard output, and what is told does not.
    pub fn takes_stdout(&self) -> bool {
        self.list.iter().any(|output| output.target == Target::Stdout)
    }

    pub fn wants(&self, part: Part) -> bool {
        self.list.iter().any(|output| output.product.part == part)
    }

    /// What is written, and where.
    pub fn iter(&self) -> impl Iterator<Item = (&Product, &str)> {
        self.list.iter().map(|output| match output.target {
            Target::Stdout => (&output.product, "standard output"),
            _ => (&output.product, output.given.as_str()),
        })
    }

    /// Refuses to write over a file that is read.
    pub fn spare(&self, input: &Path) -> Result<(), Failure> {
        let Ok(place) = fs::canonicalize(input) else {
            return Ok(()); // it will not be found either
        };
        match self.list.iter().find(|output| output.target.path() == Some(&place)) {
            Some(output) => Err(Failure::Usage(format!(
                "--{} would overwrite the input {}",
                output.product.option,
                input.display()
            ))),
            None => Ok(()),
        }
    }

    /// Refuses what a file cannot hold.
    pub fn check(&self, problem: &Problem) -> Result<(), String> {
        self.list.iter().try_for_each(|output| {
            let Some(view) = problem.result(output.product.part.role()) else {
                return Ok(());
            };
            let checked = output.target.check(view.dtype, ", or take --dtype f32");
            checked.map_err(|why| format!("--{} {}: {why}", output.product.option, output.given))
        })
    }

    /// The files under way, each of them behind its header. `array` tells what a result will be; `draft::publish` ends
    /// it.
    pub fn drafts(&self, array: impl Fn(Part) -> Option<(Dtype, Vec<usize>)>) -> Result<Vec<(Part, Draft)>, Failure> {
        let list = self.list.iter().map(|output| {
            let part = output.product.part;
            let (dtype, shape) = array(part).ok_or_else(|| output.missing())?;
            Ok((part, output.draft(dtype, &shape)?))
        });
        list.collect()
    }
}

impl Output {
    fn label(&self) -> String {
        let option = &self.product.option;
        match self.target.path() {
            Some(path) => format!("--{option} {}", path.display()),
            None => format!("--{option} {STDOUT}"),
        }
    }

    fn missing(&self) -> Failure {
        Failure::Failed(format!("{}: the call gave no such result", self.label()))
    }

    fn draft(&self, dtype: Dtype, shape: &[usize]) -> Result<Draft, Failure> {
        self.target.draft(self.label(), dtype, shape)
    }
}

/// A draft's error names its file.
pub fn failed(error: std::io::Error) -> Failure {
    Failure::Failed(error.to_string())
}
