//! Where a file goes that a command is to write.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::draft::folder_of;
use crate::{Failure, files};

/// The word for standard output.
pub const STDOUT: &str = "-";

/// Where a picture goes: the same, of a name that says so, or has no extension.
pub fn picture(option: &str, given: &OsStr) -> Result<PathBuf, Failure> {
    let extension = Path::new(given).extension();
    if extension.is_some_and(|own| !own.eq_ignore_ascii_case("svg")) {
        let given = given.to_string_lossy();
        return Err(Failure::Usage(format!(
            "--{option} {given}: the picture is an SVG; name a file .svg"
        )));
    }
    place(option, given)
}

/// Where `--option file` goes: links and spellings of folders resolved. Finds what is wrong with the path.
pub fn place(option: &str, given: &OsStr) -> Result<PathBuf, Failure> {
    let failed = |why: String| Failure::Failed(format!("--{option} {}: {why}", given.to_string_lossy()));
    let (path, _) = files::location(given);
    if given == STDOUT {
        return Err(failed("a file is needed here (./- is one of that name)".into()));
    }
    let ends_as_folder = path.to_string_lossy().ends_with(std::path::is_separator);
    let Some(name) = path.file_name().filter(|_| !ends_as_folder) else {
        return Err(failed("is a folder, expected a file".into()));
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
    if place.is_dir() {
        return Err(failed("is a folder, expected a file".into()));
    }
    // Renaming over a device such as /dev/null would replace it, or, through /dev/stdout, the file that a shell has
    // opened.
    let is_device = |folder: &Path| folder == Path::new("/dev") || folder.starts_with("/proc");
    let behind_device = fs::canonicalize(folder).is_ok_and(|folder| is_device(&folder));
    if behind_device || fs::metadata(&place).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(failed("is not a regular file".into()));
    }
    Ok(place)
}
