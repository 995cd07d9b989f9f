//! Files written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use wgloss::Array;

use crate::{Failure, npy};

/// The files that a command is to write: what each holds, and where it goes.
#[derive(Default)]
pub struct Outputs {
    list: Vec<(&'static str, PathBuf)>,
}

impl Outputs {
    /// Adds `--option path`. Finds what is wrong with the path before anything is computed.
    pub fn add(&mut self, option: &'static str, path: &Path) -> Result<(), Failure> {
        let failed = |why: String| Failure::Failed(format!("--{option} {}: {why}", path.display()));
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
        if let Some((other, _)) = self.list.iter().find(|(_, other)| *other == place) {
            let message = format!("--{other} and --{option} name the same file {}", path.display());
            return Err(Failure::Usage(message));
        }
        if !folder.is_dir() {
            return Err(failed(format!("the folder {} does not exist", folder.display())));
        }
        // Renaming over a device such as /dev/null would replace it.
        if fs::metadata(&place).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(failed("is not a regular file".into()));
        }
        self.list.push((option, place));
        Ok(())
    }

    /// Refuses to write over a file that is read.
    pub fn spare(&self, input: &Path) -> Result<(), Failure> {
        let Ok(place) = fs::canonicalize(input) else {
            return Ok(()); // it will not be found either
        };
        match self.list.iter().find(|(_, path)| *path == place) {
            Some((option, _)) => Err(Failure::Usage(format!(
                "--{option} would overwrite the input {}",
                input.display()
            ))),
            None => Ok(()),
        }
    }

    /// Writes all files beside their places, and moves them there only when all are written.
    pub fn write<'a>(&self, array_of: impl Fn(&str) -> Option<&'a Array>) -> Result<(), Failure> {
        let mut written = Vec::new();
        for (option, path) in &self.list {
            let failed = |error: std::io::Error| Failure::Failed(format!("--{option} {}: {error}", path.display()));
            let Some(array) = array_of(option) else {
                return Err(Failure::Failed(format!("--{option}: the call gave no such result")));
            };
            written.push((write_beside(path, array).map_err(failed)?, path));
        }
        for (file, path) in written {
            file.persist(path)
                .map_err(|e| Failure::Failed(format!("{}: {}", path.display(), e.error)))?;
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A temporary file in the folder of `path`, removed when dropped.
fn write_beside(path: &Path, array: &Array) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wgloss-");
    // Those of any new file: the system takes the umask off.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder_of(path))?;
    file.write_all(&npy::header_f32(&array.shape))?;
    if cfg!(target_endian = "little") {
        file.write_all(bytemuck::cast_slice(&array.data))?;
    } else {
        let bytes: Vec<u8> = array.data.iter().flat_map(|x| x.to_le_bytes()).collect();
        file.write_all(&bytes)?;
    }
    file.flush()?;
    Ok(file)
}
