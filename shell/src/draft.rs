//! An output file under way: seen by nobody until it is published.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;
use wgloss::Sink;

use crate::{Failure, interrupt, positional, print};

/// A file of known length, written in pieces: a header, then data in any order.
pub struct Draft {
    file: File,
    /// Where the system knows no files without a name. On Linux there is none, so that even SIGKILL leaves nothing.
    name: Option<TempPath>,
    /// `None` for standard output.
    place: Option<PathBuf>,
    /// What messages begin with.
    label: String,
    /// Where the data begin.
    start: u64,
    /// Bytes of the data, and how many of them are written.
    length: u64,
    written: u64,
}

impl Draft {
    /// A file for `place` that begins with `header`, and room for `length` bytes of data behind it, so that a full disk
    /// is found early.
    pub fn new(label: String, place: &Path, header: &[u8], length: u64) -> Result<Self, String> {
        match Self::unnamed(place) {
            Some(file) => Self::begin(file, None, label, Some(place), header, length),
            None => Self::named(label, place, header, length),
        }
    }

    /// The same for standard output: gathered in a file without a name, for windows may come in any order.
    pub fn to_stdout(label: String, header: &[u8], length: u64) -> Result<Self, String> {
        match tempfile::tempfile() {
            Ok(file) => Self::begin(file, None, label, None, header, length),
            Err(error) => Err(format!("{label}: {error}")),
        }
    }

    fn named(label: String, place: &Path, header: &[u8], length: u64) -> Result<Self, String> {
        let mut names = interrupt::names();
        let (file, name) = match beside().tempfile_in(folder_of(place)) {
            Ok(file) => file.into_parts(),
            Err(error) => return Err(format!("{label}: {error}")),
        };
        names.push(name.to_path_buf());
        drop(names);
        Self::begin(file, Some(name), label, Some(place), header, length)
    }

    #[cfg(target_os = "linux")]
    fn unnamed(place: &Path) -> Option<File> {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).custom_flags(OFlags::TMPFILE.bits() as i32);
        // Whatever is wrong with the folder, a file with a name meets it, too.
        let file = options.open(folder_of(place)).ok()?;
        // It is given a name through /proc.
        open_path(&file).exists().then_some(file)
    }

    #[cfg(not(target_os = "linux"))]
    fn unnamed(_: &Path) -> Option<File> {
        None
    }

    fn begin(
        file: File,
        name: Option<TempPath>,
        label: String,
        place: Option<&Path>,
        header: &[u8],
        length: u64,
    ) -> Result<Self, String> {
        let start = header.len() as u64;
        let draft = Self {
            file,
            name,
            place: place.map(Path::to_owned),
            label,
            start,
            length,
            written: 0,
        };
        let reserved = reserve(&draft.file, start + length).and_then(|()| positional::write(&draft.file, 0, header));
        match reserved {
            Ok(()) => Ok(draft),
            Err(error) => Err(format!("{}: {error}", draft.label)),
        }
    }

    /// Moves the file to its place. The caller holds `names`.
    fn publish(mut self, names: &mut Vec<PathBuf>) -> Result<(), Failure> {
        let published = match (self.place.take(), self.name.take()) {
            (None, _) => Ok(()), // poured before
            (Some(place), Some(name)) => {
                names.retain(|own| *own != *name);
                name.persist(place).map_err(|e| e.error)
            }
            (Some(place), None) => self.link(&place),
        };
        published.map_err(|error| Failure::Failed(format!("{}: {error}", self.label)))
    }

    /// Writes the whole file to standard output.
    fn pour(&mut self) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let poured = self.file.rewind().and_then(|()| io::copy(&mut self.file, &mut stdout));
        let poured = poured.and_then(|_| stdout.flush());
        poured.map_err(|error| print::failed(&self.label, &error))
    }

    /// Names the file without a name. A link replaces nothing: where there is a file, the name is another first.
    #[cfg(target_os = "linux")]
    fn link(&self, place: &Path) -> io::Result<()> {
        match link(&self.file, place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let named = beside().make_in(folder_of(place), |name| link(&self.file, name))?;
                named.into_temp_path().persist(place).map_err(|e| e.error)
            }
            linked => linked,
        }
    }
}

/// A link holds a name only on Linux, and only there is it asked for.
#[cfg(not(target_os = "linux"))]
impl Draft {
    fn link(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Sink for Draft {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        if offset.checked_add(size).is_none_or(|end| end > self.length) {
            let message = format!(
                "{}: {size} bytes at {offset} lie beyond its {}",
                self.label, self.length
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        positional::write(&self.file, self.start + offset, bytes)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.label)))?;
        self.written += size;
        Ok(())
    }
}

/// A file with all that it will hold, for `option`.
pub fn whole(option: &str, place: &Path, bytes: &[u8]) -> Result<Draft, Failure> {
    Draft::new(format!("{option} {}", place.display()), place, bytes, 0).map_err(Failure::Failed)
}

/// Moves files to their places, once all of them are whole. Where the reader of standard output has gone, they come all
/// the same.
pub fn publish(mut drafts: Vec<Draft>) -> Result<(), Failure> {
    for Draft {
        label, written, length, ..
    } in &drafts
    {
        if written != length {
            let message = format!("{label}: {written} of {length} bytes were written");
            return Err(Failure::Failed(message));
        }
    }
    let mut gone = false;
    for draft in drafts.iter_mut().filter(|draft| draft.place.is_none()) {
        match draft.pour() {
            Err(Failure::Closed) => gone = true,
            poured => poured?,
        }
    }
    // A signal waits, so that it finds none or all of them.
    let mut names = interrupt::names();
    drafts.into_iter().try_for_each(|draft| draft.publish(&mut names))?;
    if gone { Err(Failure::Closed) } else { Ok(()) }
}

/// Takes the space on the disk, or at least sets the length.
fn reserve(file: &File, length: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{fs, io::Errno};
        match rustix::io::retry_on_intr(|| fs::fallocate(file, fs::FallocateFlags::empty(), 0, length)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            reserved => return Ok(reserved?),
        }
    }
    file.set_len(length)
}

#[cfg(target_os = "linux")]
fn open_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[cfg(target_os = "linux")]
fn link(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, open_path(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// How files beside their places are named, and who may read them.
fn beside() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wgloss-");
    // Those of any new file: the system takes the umask off.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

pub fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::process::{Command, Stdio};

    use super::*;

    type New = fn(String, &Path, &[u8], u64) -> Result<Draft, String>;
    const BOTH: [New; 2] = [Draft::new, Draft::named];

    fn list(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_appear_once_all_are_whole() {
        for new in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
            std::fs::write(&a, b"what was there before").unwrap();
            let make = || {
                let mut first = new("--out a".into(), &a, b"head", 6).unwrap();
                first.write_at(3, b"def").unwrap();
                first.write_at(0, b"abc").unwrap();
                [first, new("--grad b".into(), &b, b"", 2).unwrap()]
            };
            let [first, mut second] = make();
            assert!(!b.exists());
            second.write_at(1, b"2").unwrap();
            let message = publish(vec![first, second]).unwrap_err();
            assert_eq!(message, Failure::Failed("--grad b: 1 of 2 bytes were written".into()));
            assert_eq!(
                (list(folder.path()), std::fs::read(&a).unwrap()),
                (vec!["a".into()], b"what was there before".into())
            );

            let [first, mut second] = make();
            for (at, bytes) in [(2, &b"3"[..]), (0, b"123"), (u64::MAX, b"1")] {
                let message = second.write_at(at, bytes).unwrap_err().to_string();
                assert!(
                    message.starts_with("--grad b: ") && message.ends_with("lie beyond its 2"),
                    "{message}"
                );
            }
            second.write_at(0, b"12").unwrap();
            publish(vec![first, second]).unwrap();
            assert_eq!(list(folder.path()), ["a", "b"]);
            assert_eq!(
                [a, b].map(|path| std::fs::read(path).unwrap()),
                [b"headabcdef".to_vec(), b"12".to_vec()]
            );
        }
    }

    #[test]
    fn what_cannot_be_held_is_found_before_it_is_written() {
        for new in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let message = new("--out x".into(), &folder.path().join("x"), b"head", 1 << 62)
                .err()
                .unwrap();
            assert!(message.starts_with("--out x: "), "{message}");
            assert!(list(folder.path()).is_empty());
            let message = new("--out x".into(), &folder.path().join("none/x"), b"head", 1)
                .err()
                .unwrap();
            assert!(message.starts_with("--out x: "), "{message}");
        }
    }

    const FOLDER: &str = "WGLOSS_TEST_DRAFT_FOLDER";
    const NAMED: &str = "WGLOSS_TEST_DRAFT_NAMED";

    /// No test by itself: the process that the next test ends.
    #[test]
    fn under_way() {
        let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
            return;
        };
        let new = BOTH[usize::from(std::env::var_os(NAMED).is_some())];
        let drafts = ["a", "b"].map(|name| {
            let mut draft = new(name.into(), &folder.join(name), b"head", 1 << 20).unwrap();
            draft.write_at(0, &[1; 1 << 19]).unwrap();
            draft
        });
        println!("\nunder way");
        std::thread::sleep(std::time::Duration::from_secs(60));
        drop(drafts);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_is_ended_leaves_the_folder_as_it_was() {
        use std::os::unix::process::ExitStatusExt;
        for (named, signal, number) in [
            (false, "KILL", 9),
            (false, "INT", 2),
            (true, "INT", 2),
            (true, "TERM", 15),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("a"), b"before").unwrap();
            let mut command = Command::new(std::env::current_exe().unwrap());
            command
                .args(["--exact", "draft::tests::under_way", "--nocapture"])
                .env(FOLDER, folder.path());
            if named {
                command.env(NAMED, "1");
            }
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap() == "under way"));
            // Where there are names, this shows that there was something to remove.
            assert_eq!(list(folder.path()).len(), if named { 3 } else { 1 }, "{signal}");
            let id = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-s", signal, &id])
                    .status()
                    .unwrap()
                    .success()
            );
            assert_eq!(child.wait().unwrap().signal(), Some(number));
            assert_eq!(list(folder.path()), ["a"], "{signal}");
            assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"before");
        }
    }
}
