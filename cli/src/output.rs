//! Files written whole or not at all.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use wgloss::Dtype;
use wgloss::problem::Problem;

use crate::draft::{Draft, folder_of};
use crate::parts::{Part, Product};
use crate::{Failure, files, keyed, npy, numbers};

/// A file to be written.
struct Output {
    product: Product,
    /// As the user named it.
    given: String,
    path: PathBuf,
    /// The key in a .safetensors file; `None` for .npy.
    key: Option<String>,
}

/// The files that a command is to write: what each holds, and where it goes.
#[derive(Default)]
pub struct Outputs {
    list: Vec<Output>,
}

impl Outputs {
    /// Adds `--option file`. Finds what is wrong with the path before anything is computed.
    pub fn add(&mut self, product: Product, given: &OsStr) -> Result<(), Failure> {
        let (option, given_text) = (&product.option, given.to_string_lossy().into_owned());
        let (path, key) = files::location(given);
        let place = place(option, given)?;
        if let Some(other) = self.list.iter().find(|other| other.path == place) {
            let message = format!(
                "--{} and --{option} name the same file {given_text}",
                other.product.option
            );
            return Err(Failure::Usage(message));
        }
        let key = match key {
            Some(key) => Some(key.to_owned()),
            None => files::is_safetensors(path).then(|| product.key()),
        };
        self.list.push(Output {
            product,
            given: given_text,
            path: place,
            key,
        });
        Ok(())
    }

    pub fn wants(&self, part: Part) -> bool {
        self.list.iter().any(|output| output.product.part == part)
    }

    /// What is written, and where.
    pub fn iter(&self) -> impl Iterator<Item = (&Product, &str)> {
        self.list.iter().map(|output| (&output.product, output.given.as_str()))
    }

    /// Refuses to write over a file that is read.
    pub fn spare(&self, input: &Path) -> Result<(), Failure> {
        let Ok(place) = fs::canonicalize(input) else {
            return Ok(()); // it will not be found either
        };
        match self.list.iter().find(|output| output.path == place) {
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
        for output in self.list.iter().filter(|output| output.key.is_none()) {
            let Some(dtype) = problem.result(output.product.part.role()).map(|view| view.dtype) else {
                continue;
            };
            if npy::descr(dtype.into()).is_none() {
                return Err(format!(
                    "--{} {}: a .npy file cannot hold {dtype}; name a file that ends in .safetensors",
                    output.product.option, output.given
                ));
            }
        }
        Ok(())
    }

    /// The files under way, each of them behind its header. `array` tells what a result will be; `draft::publish` ends it.
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
        format!("--{} {}", self.product.option, self.path.display())
    }

    fn missing(&self) -> Failure {
        Failure::Failed(format!("{}: the call gave no such result", self.label()))
    }

    fn draft(&self, dtype: Dtype, shape: &[usize]) -> Result<Draft, Failure> {
        draft_of(self.label(), &self.path, self.key.as_deref(), dtype, shape)
    }
}

/// A file for one array, under a key where that is given. Messages begin with the label.
pub fn draft_of(
    label: String,
    place: &Path,
    key: Option<&str>,
    dtype: impl Into<numbers::Dtype>,
    shape: &[usize],
) -> Result<Draft, Failure> {
    let dtype = dtype.into();
    let header = match key {
        Some(key) => keyed::header(&[(key, dtype, shape)]),
        None => npy::header(dtype, shape),
    };
    let header = header.map_err(|why| Failure::Failed(format!("{label}: {why}")))?;
    let length = shape.iter().map(|&size| size as u64).product::<u64>() * dtype.bytes() as u64;
    Draft::new(label, place, &header, length).map_err(Failure::Failed)
}

/// A draft's error names its file.
pub fn failed(error: std::io::Error) -> Failure {
    Failure::Failed(error.to_string())
}

/// Where `--option file` goes: links and spellings of folders resolved. Finds what is wrong with the path.
pub fn place(option: &str, given: &OsStr) -> Result<PathBuf, Failure> {
    let failed = |why: String| Failure::Failed(format!("--{option} {}: {why}", given.to_string_lossy()));
    let (path, _) = files::location(given);
    let Some(name) = path.file_name() else {
        return Err(failed("is no file name".into()));
    };
    if files::is_npz(path) {
        return Err(failed(
            "archives are read only; name a file that ends in .npy or .safetensors".into(),
        ));
    }
    // Two spellings of one folder are one folder.
    let folder = folder_of(path);
    let place = match (fs::canonicalize(path), fs::canonicalize(folder)) {
        (Ok(place), _) => place, // the file behind a link is replaced, not the link
        (Err(_), Ok(folder)) => folder.join(name),
        (Err(_), Err(_)) => path.to_owned(),
    };
    if !folder.is_dir() {
        return Err(failed(format!("the folder {} does not exist", folder.display())));
    }
    // Renaming over a device such as /dev/null would replace it.
    if fs::metadata(&place).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(failed("is not a regular file".into()));
    }
    Ok(place)
}
