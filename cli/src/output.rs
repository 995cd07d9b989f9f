//! Files written whole or not at all.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use tempfile::NamedTempFile;
use wgloss::Dtype;
use wgloss::problem::Problem;

use crate::parts::{Part, Product, Stored};
use crate::{Failure, files, npy};

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
            let dtype = output.product.part.dtype(problem);
            if npy::descr(dtype).is_none() {
                return Err(format!(
                    "--{} {}: a .npy file cannot hold {dtype}; name a file that ends in .safetensors",
                    output.product.option, output.given
                ));
            }
        }
        Ok(())
    }

    /// Writes all files beside their places, and moves them there only when all are written.
    pub fn write<'a>(&self, stored: impl Fn(Part) -> Option<Stored<'a>>) -> Result<(), Failure> {
        let mut written = Vec::new();
        for output in &self.list {
            let failed = |why: String| {
                let option = &output.product.option;
                Failure::Failed(format!("--{option} {}: {why}", output.path.display()))
            };
            let Some(stored) = stored(output.product.part) else {
                return Err(failed("the call gave no such result".into()));
            };
            let file = write_beside(&output.path, output.key.as_deref(), &stored).map_err(failed)?;
            written.push((file, &output.path));
        }
        persist(written)
    }
}

/// Where `--option file` goes: links and spellings of folders resolved. Finds what is wrong with the path.
pub fn place(option: &str, given: &OsStr) -> Result<PathBuf, Failure> {
    let failed = |why: String| Failure::Failed(format!("--{option} {}: {why}", given.to_string_lossy()));
    let (path, _) = files::location(given);
    let Some(name) = path.file_name() else {
        return Err(failed("is no file name".into()));
    };
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

/// Moves files to their places.
pub fn persist(written: Vec<(NamedTempFile, &PathBuf)>) -> Result<(), Failure> {
    for (file, path) in written {
        file.persist(path)
            .map_err(|e| Failure::Failed(format!("{}: {}", path.display(), e.error)))?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// An array in a temporary file in the folder of `path`, which goes under a key into a .safetensors file.
pub fn write_beside(path: &Path, key: Option<&str>, stored: &Stored<'_>) -> Result<NamedTempFile, String> {
    match key {
        Some(key) => beside(path, &[&safetensors_bytes(&[(key, stored)])?]),
        None => beside(path, &[&npy::header(stored.dtype, stored.shape)?, &stored.bytes]),
    }
}

/// A temporary file in the folder of `path`, removed when dropped.
pub fn beside(path: &Path, parts: &[&[u8]]) -> Result<NamedTempFile, String> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wgloss-");
    // Those of any new file: the system takes the umask off.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder_of(path)).map_err(|e| e.to_string())?;
    let written = parts.iter().try_for_each(|part| file.write_all(part));
    written.and_then(|()| file.flush()).map_err(|e| e.to_string())?;
    Ok(file)
}

/// A .safetensors file of arrays by key.
pub fn safetensors_bytes(list: &[(&str, &Stored<'_>)]) -> Result<Vec<u8>, String> {
    use safetensors::Dtype as Theirs;
    let dtype_of = |stored: &Stored<'_>| match stored.dtype {
        Dtype::F32 => Theirs::F32,
        Dtype::F16 => Theirs::F16,
        Dtype::Bf16 => Theirs::BF16,
        Dtype::U8 => Theirs::U8,
        Dtype::I32 => Theirs::I32,
        Dtype::U32 => Theirs::U32,
        Dtype::I64 => Theirs::I64,
    };
    let mut views = Vec::new();
    for (key, stored) in list {
        let view = TensorView::new(dtype_of(stored), stored.shape.to_vec(), &stored.bytes);
        views.push((*key, view.map_err(|e| e.to_string())?));
    }
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}
