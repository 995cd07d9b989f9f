//! Files that somebody else has made: mutated headers through the reading layer. Never a panic, never more memory than
//! the file justifies, never numbers other than those the header tells of.

mod archives;
mod arrays;
mod mutation;
mod truth;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::OsString;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use wgloss::{Pages, Tensor};
use wgloss_shell::files;
use wgloss_shell::source::ArrayFile;

use mutation::npy;
use truth::{bytes_of, numbers};

/// Counts what each thread holds, and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    MOST.set(MOST.get().max(HELD.get()));
}

// SAFETY: all is done by the system's allocator; the counters have no destructor and allocate nothing. `realloc` and
// `alloc_zeroed` are the trait's own, by way of `alloc`, so that both blocks of a move count.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most bytes that a call held beyond those before it.
fn most_held<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let value = call();
    (value, (MOST.get() - before) as usize)
}

/// i8 as i32 is four times the file, held twice: in the buffer that is filled and in the tensor. The JSON of a shape,
/// two characters a number, is held as numbers of 8 bytes in a block that doubles as it grows.
const PER_BYTE: usize = 16;
/// Messages (4 bytes a character, by way of `String`s that grow), names, hash tables of few keys.
const AT_LEAST: usize = 64 << 10;

/// Opens a file and reads it in both ways. What was read is compared with what `truth` finds in the bytes.
fn read(path: &Path, key: Option<&str>, bytes: &[u8], rng: &mut Pcg64, truth: Truth<'_>) -> bool {
    // Written over, ext4 would bring every file to the disk.
    std::fs::remove_file(path).unwrap_or_default();
    std::fs::write(path, bytes).unwrap();
    let mut given = path.as_os_str().to_owned();
    if let Some(key) = key {
        given.push(OsString::from(format!(":{key}")));
    }
    let is_archive = files::is_npz(path);
    let limit = PER_BYTE * bytes.len() + AT_LEAST + if is_archive { archives::DECODER } else { 0 };
    let (opened, held) = most_held(|| files::open(&given));
    assert!(held <= limit, "opening held {held} bytes for a file of {}", bytes.len());
    let source = match opened {
        Ok(source) => source,
        Err(message) => {
            assert!(message.starts_with(&*given.to_string_lossy()), "{message}");
            assert!(
                message.chars().count() < 5000 && !message.chars().any(char::is_control),
                "{message}"
            );
            return false;
        }
    };
    let (whole, held) = most_held(|| source.read_whole());
    assert!(held <= limit, "reading held {held} bytes for a file of {}", bytes.len());
    let whole = match whole {
        Ok(whole) => whole,
        // The checksum of an archive's member is that of all its bytes.
        Err(_) if is_archive => return false,
        Err(message) => panic!("{message}"),
    };
    assert_eq!((whole.dtype(), whole.shape()), (source.dtype(), source.shape()));
    let (shape, want) = truth(bytes, key);
    assert_eq!(source.shape(), shape);
    let got = numbers(&whole);
    assert!(
        got.len() == want.len() && got.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits()),
        "{got:?} {want:?}"
    );
    windows(&source, &whole, rng);
    true
}

/// The shape and the numbers of a file, found in another way than the reading layer's.
type Truth<'a> = &'a dyn Fn(&[u8], Option<&str>) -> (Vec<usize>, Vec<f64>);

fn windows(source: &ArrayFile, whole: &Tensor, rng: &mut Pcg64) {
    if source.pageable().is_err() {
        assert!(source.read_at(0, &mut [0; 4]).is_err());
        return;
    }
    let bytes = bytes_of(whole);
    for _ in 0..4 {
        let begin = rng.random_range(0..=bytes.len());
        let end = rng.random_range(begin..=bytes.len());
        let mut out = vec![0xee; end - begin];
        source.read_at(begin as u64, &mut out).unwrap();
        assert_eq!(out, bytes[begin..end], "{begin} to {end}");
    }
}

/// Runs cases with a random generator each, and names the seed of one that fails.
fn each_seed(cases: u64, case: impl Fn(&mut Pcg64) -> bool) -> usize {
    let failed = |seed| {
        let run = std::panic::AssertUnwindSafe(|| case(&mut Pcg64::seed_from_u64(seed)));
        std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("seed {seed}"))
    };
    (0..cases).filter(|&seed| failed(seed)).count()
}

/// Under the key that the tests read.
fn keyed(path: &Path) -> OsString {
    let mut given = path.as_os_str().to_owned();
    given.push(":x");
    given
}

#[test]
#[cfg(unix)]
fn what_is_no_file_is_said() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", &[0; 8]);
    std::fs::write(path("good.npy"), &good).unwrap();
    std::fs::write(path("empty.npy"), []).unwrap();
    std::fs::write(path("empty.safetensors"), []).unwrap();
    std::fs::create_dir(path("folder.npy")).unwrap();
    symlink("good.npy", path("link.npy")).unwrap();
    symlink("nothing.npy", path("dangling.npy")).unwrap();
    symlink("loop.npy", path("loop.npy")).unwrap();
    symlink("/dev/zero", path("zero.npy")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(path("pipe.npy")).status();
    assert!(fifo.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(path("socket.npy")).unwrap();

    for (name, text) in [
        ("empty.npy", "is empty"),
        ("empty.safetensors:x", "not a whole .safetensors file"),
        ("folder.npy", "is a folder"),
        ("dangling.npy", "No such file"),
        ("loop.npy", "symbolic links"),
        ("zero.npy", "not a regular file"),
        ("pipe.npy", "not a regular file"),
        ("socket.npy", "not a regular file"),
        ("good.npy/x.npy", "Not a directory"),
        ("nul\0.npy", "unexpected NUL byte"),
    ] {
        let given = path(name).into_os_string();
        let message = files::open(&given).unwrap_err();
        assert!(
            message.starts_with(&*given.to_string_lossy()) && message.contains(text),
            "{name:?}: {message}"
        );
    }
    let linked = files::open(path("link.npy").as_os_str());
    assert!(linked.and_then(|source| source.read_whole()).is_ok());

    std::fs::write(path("closed.npy"), &good).unwrap();
    std::fs::set_permissions(path("closed.npy"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let opened = files::open(path("closed.npy").as_os_str());
    // The superuser may read anything.
    if std::fs::File::open(path("closed.npy")).is_err() {
        assert!(opened.unwrap_err().contains("Permission denied"));
    }

    // A file that is replaced stays the one that was opened.
    let source = files::open(path("good.npy").as_os_str()).unwrap();
    std::fs::write(path("other.npy"), [1; 100]).unwrap();
    std::fs::rename(path("other.npy"), path("good.npy")).unwrap();
    assert_eq!(numbers(&source.read_whole().unwrap()), [0.0; 2]);
}
