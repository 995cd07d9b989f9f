//! Files that somebody else has made: mutated headers through the reading layer. Never a panic, never more memory than
//! the file justifies, never numbers other than those the header tells of.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::OsString;
use std::path::Path;

use half::{bf16, f16};
use rand::{Rng, RngCore, SeedableRng};
use rand_pcg::Pcg64;
use wgloss::{Pages, Tensor};

use crate::files;
use crate::source::Source;

mod npz;

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

/// i8 as i32 is four times the file, held twice: in the buffer that is filled and in the tensor. The JSON of a shape, two
/// characters a number, is held as numbers of 8 bytes in a block that doubles as it grows.
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
    let limit = PER_BYTE * bytes.len() + AT_LEAST + if is_archive { npz::DECODER } else { 0 };
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

fn numbers(tensor: &Tensor) -> Vec<f64> {
    macro_rules! as_f64 {
        ($($type:ty: $wide:expr),*) => {$(
            if let Some(data) = tensor.as_slice::<$type>() {
                return data.iter().map($wide).collect();
            }
        )*};
    }
    as_f64!(f32: |&x| x.into(), f16: |&x| x.to_f64(), bf16: |&x| x.to_f64(), u8: |&x| x.into());
    as_f64!(i32: |&x| x.into(), u32: |&x| x.into(), i64: |&x| x as f64);
    unreachable!("a tensor on the host");
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    fn of<T: wgloss::Element>(tensor: &Tensor) -> Option<Vec<u8>> {
        tensor.as_slice::<T>().map(|data| bytemuck::cast_slice(data).to_vec())
    }
    let all = [
        of::<f32>, of::<f16>, of::<bf16>, of::<u8>, of::<i32>, of::<u32>, of::<i64>,
    ];
    all.iter().find_map(|of| of(tensor)).unwrap()
}

fn windows(source: &Source, whole: &Tensor, rng: &mut Pcg64) {
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

/// One element as f64, by way of what the library has: a u64 beyond i64 is the largest i64.
fn element(code: &str, own: &[u8]) -> f64 {
    match code {
        "b1" => f64::from(u8::from(own[0] != 0)),
        "f2" => f16::from_le_bytes([own[0], own[1]]).to_f64(),
        "V2" => bf16::from_le_bytes([own[0], own[1]]).to_f64(),
        "f4" => f32::from_le_bytes(own.try_into().unwrap()).into(),
        "f8" => (f64::from_le_bytes(own.try_into().unwrap()) as f32).into(),
        _ => {
            let mut wide = [if code.starts_with('i') && own[own.len() - 1] > 127 {
                255
            } else {
                0
            }; 16];
            wide[..own.len()].copy_from_slice(own);
            i128::from_le_bytes(wide).min(i64::MAX.into()) as f64
        }
    }
}

/// Of a header in the order that numpy writes, perhaps mutated, by plain search.
fn npy_truth(bytes: &[u8], _: Option<&str>) -> (Vec<usize>, Vec<f64>) {
    let (length, start) = match bytes[6] {
        1 => (usize::from(bytes[8]) + 256 * usize::from(bytes[9]), 10),
        _ => (u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize, 12),
    };
    let (text, data) = bytes[start..].split_at(length);
    let text = std::str::from_utf8(text).unwrap();
    // A key that comes twice holds what it says last, as in Python.
    let value = |key: &str| {
        let quoted = ['\'', '"'].map(|quote| text.rfind(&format!("{quote}{key}{quote}")));
        let at = quoted.into_iter().flatten().max().unwrap();
        text[at + key.len() + 2..]
            .trim_start()
            .strip_prefix(':')
            .unwrap()
            .trim_start()
    };
    let descr = value("descr");
    let descr = descr[1..].split(&descr[..1]).next().unwrap();
    let shape = value("shape").strip_prefix('(').unwrap().split(')').next().unwrap();
    let sizes = shape
        .split(',')
        .map(|size| size.trim().trim_end_matches('L').trim_end());
    let shape: Vec<usize> = sizes
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().unwrap())
        .collect();

    let code = descr.trim_start_matches(['<', '>', '|', '=']);
    let width: usize = code[1..].parse().unwrap();
    assert_eq!(shape.iter().product::<usize>() * width, data.len());
    let mut elements = Vec::new();
    for own in data.chunks_exact(width) {
        let mut own = own.to_vec();
        if descr.starts_with('>') {
            own.reverse();
        }
        elements.push(element(code, &own));
    }
    if value("fortran_order").starts_with("True") {
        elements = (0..elements.len())
            .map(|place| {
                // The index of a place in row-major order, digit by digit, as a place with the first digit fastest.
                let (mut rest, mut stride, mut at) = (place, elements.len(), 0);
                for &size in shape.iter().rev() {
                    stride /= size;
                    at += rest % size * stride;
                    rest /= size;
                }
                elements[at]
            })
            .collect();
    }
    (shape, elements)
}

/// By way of any JSON. (The crate's own reader knows not all dtypes that may lie beside.)
fn safetensors_truth(bytes: &[u8], key: Option<&str>) -> (Vec<usize>, Vec<f64>) {
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    let entry = &header[key.unwrap()];
    let numbers = |value: &serde_json::Value| {
        let list = value.as_array().unwrap().iter();
        list.map(|n| n.as_u64().unwrap() as usize).collect::<Vec<_>>()
    };
    let (shape, offsets) = (numbers(&entry["shape"]), numbers(&entry["data_offsets"]));
    let name = entry["dtype"].as_str().unwrap().to_lowercase();
    let code = match name.as_str() {
        "bool" => "b1".into(),
        "bf16" => "V2".into(),
        _ => format!("{}{}", &name[..1], name[1..].parse::<usize>().unwrap() / 8),
    };
    let width = code[1..].parse().unwrap();
    let elements = bytes[start..][offsets[0]..offsets[1]]
        .chunks_exact(width)
        .map(|own| element(&code, own));
    (shape, elements.collect())
}

/// What replaces part of a header.
const WORDS: [&str; 40] = [
    "0",
    "1",
    "2",
    "3",
    "-1",
    "6",
    "7",
    "12",
    "24",
    "48",
    "1e3",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "(",
    ")",
    "()",
    "(3,)",
    "[",
    "]",
    "{",
    "}",
    "[2, 3]",
    "[0, 24]",
    "'",
    "\"",
    ",",
    ":",
    "True",
    "False",
    "null",
    "\0",
    "\u{202e}",
    "é",
    "<f8",
    ">f4",
    "shape",
    "__metadata__",
];

/// Changes that may leave a file valid, of other numbers.
const SWAPS: [(&str, &str); 20] = [
    ("f4", "i4"),
    ("f2", "u2"),
    ("i8", "f8"),
    ("<", ">"),
    ("False", "True"),
    ("(2, 3)", "(3, 2L)"),
    ("(6,)", "(1, 6, 1)"),
    ("(0, 4)", "(7, 0)"),
    (", ", " ,\t"),
    ("F32", "I32"),
    ("F16", "BF16"),
    ("I64", "F64"),
    ("U16", "F16"),
    ("[2,3]", "[3, 1, 2]"),
    ("[4]", "[2,2]"),
    (",", " , "),
    ("u1", "b1"),
    ("f2", "V2"),
    ("BOOL", "F8_E5M2"),
    ("I8", "BOOL"),
];

/// A few changes to the first `header` bytes, some of them to its length or to the file's end.
fn mutated(rng: &mut Pcg64, mut bytes: Vec<u8>, mut header: usize) -> Vec<u8> {
    for _ in 0..[1, 1, 2, 3][rng.random_range(0..4)] {
        header = header.min(bytes.len());
        let at = rng.random_range(0..header.max(1)).min(bytes.len());
        let end = (at + rng.random_range(0..12)).min(bytes.len());
        match rng.random_range(0..12) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes.truncate(rng.random_range(0..=bytes.len())),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let word = WORDS[rng.random_range(0..WORDS.len())];
                bytes.splice(at..end, word.bytes());
            }
            // A number for another.
            5 | 6 => {
                let digits = |byte: &u8| byte.is_ascii_digit();
                let begin = bytes[at..].iter().position(digits).map_or(at, |n| at + n);
                let end = bytes[begin..]
                    .iter()
                    .position(|byte| !digits(byte))
                    .map_or(begin, |n| begin + n);
                let word = WORDS[rng.random_range(0..16)];
                bytes.splice(begin..end, word.bytes());
            }
            7 => {
                let more = rng.random_range(1..40);
                bytes.resize(bytes.len() + more, 0);
            }
            8 if at < bytes.len() => bytes[at] = rng.next_u32() as u8,
            _ => {
                let (from, to) = SWAPS[rng.random_range(0..SWAPS.len())];
                if let Some(at) = bytes.windows(from.len()).position(|part| part == from.as_bytes()) {
                    bytes.splice(at..at + from.len(), to.bytes());
                }
            }
        }
    }
    bytes
}

/// The header's length as it is now, so that more than the length is tried.
fn mended(mut bytes: Vec<u8>, before: usize, after: usize, at: usize, width: usize) -> Vec<u8> {
    if bytes.len() < at + width {
        return bytes;
    }
    let mut length = [0; 8];
    length[..width].copy_from_slice(&bytes[at..at + width]);
    let length = u64::from_le_bytes(length)
        .wrapping_add(after as u64)
        .wrapping_sub(before as u64);
    bytes[at..at + width].copy_from_slice(&length.to_le_bytes()[..width]);
    bytes
}

fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = [crate::npy::MAGIC, &[version, 0]].concat();
    let length = (header.len() as u32).to_le_bytes();
    bytes.extend(&length[..if version == 1 { 2 } else { 4 }]);
    [&bytes, header.as_bytes(), data].concat()
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// Runs cases with a random generator each, and names the seed of one that fails.
fn each_seed(cases: u64, case: impl Fn(&mut Pcg64) -> bool) -> usize {
    let failed = |seed| {
        let run = std::panic::AssertUnwindSafe(|| case(&mut Pcg64::seed_from_u64(seed)));
        std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("seed {seed}"))
    };
    (0..cases).filter(|&seed| failed(seed)).count()
}

#[test]
fn mutated_npy_files_hold_what_they_say_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let codes = [
        "<f4", "<f2", ">f8", "|i1", "|u1", "<i2", ">u2", "<i4", "=u4", ">i8", "<u8", "<f8", "|b1", "<V2",
    ];
    let accepted = each_seed(4000, |rng| {
        let code = codes[rng.random_range(0..codes.len())];
        let order = ["False", "True"][rng.random_range(0..2)];
        let (shape, count) =
            [("(2, 3)", 6), ("(6,)", 6), ("()", 1), ("(0, 4)", 0), ("(3, 1, 2)", 6)][rng.random_range(0..5)];
        let header = format!("{{'descr': '{code}', 'fortran_order': {order}, 'shape': {shape}, }}  \n");
        let mut data = vec![0; count * code[2..].parse::<usize>().unwrap()];
        rng.fill_bytes(&mut data);
        let version = rng.random_range(1..4);
        let (bytes, start) = (npy(version, &header, &data), if version == 1 { 10 } else { 12 });
        let before = bytes.len();
        let mut bytes = mutated(rng, bytes, start + header.len());
        if rng.random_bool(0.5) {
            let after = bytes.len();
            bytes = mended(bytes, before, after, 8, start - 8);
        }
        read(&path, None, &bytes, rng, &npy_truth)
    });
    // Otherwise only refusals would have been tried.
    assert!((400..3000).contains(&accepted), "{accepted}");
}

#[test]
fn mutated_safetensors_files_hold_what_they_say_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let dtypes = [
        ("F32", 4),
        ("F16", 2),
        ("BF16", 2),
        ("F64", 8),
        ("I8", 1),
        ("U16", 2),
        ("I64", 8),
        ("U64", 8),
        ("BOOL", 1),
        ("F8_E4M3", 1),
        ("C64", 8),
    ];
    let accepted = each_seed(4000, |rng| {
        let [(a, first), (b, second)] = [0, 1].map(|_| dtypes[rng.random_range(0..dtypes.len())]);
        let (middle, end) = (6 * first, 6 * first + 4 * second);
        let metadata = ["", "\"__metadata__\":{\"format\":\"pt\"},", "\"__metadata__\":null,"][rng.random_range(0..3)];
        let header = format!(
            "{{{metadata}\"x\":{{\"dtype\":\"{a}\",\"shape\":[2,3],\"data_offsets\":[0,{middle}]}},\
             \"y\":{{\"dtype\":\"{b}\",\"shape\":[4],\"data_offsets\":[{middle},{end}]}}}}  "
        );
        let mut data = vec![0; end];
        rng.fill_bytes(&mut data);
        let bytes = safetensors(&header, &data);
        let before = bytes.len();
        let mut bytes = mutated(rng, bytes, 8 + header.len());
        if rng.random_bool(0.5) {
            let after = bytes.len();
            bytes = mended(bytes, before, after, 0, 8);
        }
        let key = ["x", "y"][rng.random_range(0..2)];
        read(&path, Some(key), &bytes, rng, &safetensors_truth)
    });
    assert!((400..3000).contains(&accepted), "{accepted}");
}

#[test]
fn headers_made_to_hurt_are_refused_within_the_files_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Pcg64::seed_from_u64(1);
    let path = folder.path().join("x.safetensors");
    let one = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
    let two = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}";
    let long = |part: &str, times: usize| part.repeat(times);
    let with = |shape: &str, offsets: &str| {
        format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}")
    };
    for (header, data, text) in [
        (format!("{{\"x\":{one},\"x\":{two}}}"), 8, "the key \"x\" comes twice"),
        (format!("{{\"x\":{one},\"x\":{one}}}"), 4, "the key \"x\" comes twice"),
        (
            format!("{{\"__metadata__\":{{}},\"__metadata__\":{{}},\"x\":{one}}}"),
            4,
            "duplicate field",
        ),
        (format!("{{\"x\":{one},\"y\":{one}}}"), 4, "not a whole"),
        (format!("{{\"x\":{two}}}"), 8, "not a whole"),
        (
            format!("{{\"x\":{one}}}"),
            5,
            "tells of 4 bytes of data, the file holds 5",
        ),
        (format!("{{\"x\":{one}}} {{}}"), 4, "not a whole"),
        (format!("[{one}]"), 4, "not a whole"),
        (with("[4294967296,4294967296]", "[0,0]"), 0, "not a whole"),
        (with("[0,4294967296,4294967296]", "[0,0]"), 0, "too large to address"),
        (with("[1]", "[18446744073709551612,0]"), 4, "not a whole"),
        (with("[1]", "[0,18446744073709551616]"), 4, "not a whole"),
        (with("[-1]", "[0,4]"), 4, "not a whole"),
        (with("[1.0]", "[0,4]"), 4, "not a whole"),
        (long("[", 1 << 20), 0, "not a whole"),
        (long("{\"x\":", 1 << 18), 0, "not a whole"),
        (format!("{{\"x\":{}", long("[", 1 << 20)), 0, "not a whole"),
        (with(&format!("[{}2]", long("1,", 1 << 20)), "[0,4]"), 4, "not a whole"),
        (
            format!("{{\"x\":{{\"no\":[{}1]}}}}", long("1,", 1 << 20)),
            4,
            "not a whole",
        ),
        (
            format!(
                "{{\"__metadata__\":{{{}\"\":\"\"}}}}",
                (0..1 << 14).map(|i| format!("\"{i}\":\"\",")).collect::<String>()
            ),
            0,
            "has no key",
        ),
        (format!("{{\"{}\":{one}}}", long("\u{7}é", 1 << 18)), 4, "not a whole"),
        (format!("{{\"{}\":{one}}}", long("\\u001b", 1 << 18)), 4, "has no key"),
    ] {
        let bytes = safetensors(&header, &vec![0; data]);
        assert!(!read(&path, Some("x"), &bytes, &mut rng, &safetensors_truth), "{text}");
        let message = files::open(&keyed(&path)).unwrap_err();
        assert!(message.contains(text), "{text}: {}", &message[..message.len().min(300)]);
    }
    let npy_path = folder.path().join("x.npy");
    let header = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}");
    for (header, text) in [
        (header(&format!("({})", long("1,", 1 << 19))), "has a header of"),
        (header(&format!("({})", long("2,", 1 << 18))), "has 262144 dimensions"),
        (header(&long("(", 1 << 19)), "bad shape"),
        (header(&format!("({})", long("9", 1 << 19))), "bad shape"),
        (header("(0, 4294967296, 4294967296)"), "too large to address"),
        (format!("{{'descr': '{}'}}", long("\u{1b}", 1 << 19)), "lacks"),
        (
            header("(1,)").replace("<f4", &long("\u{1b}", 1 << 19)),
            "\u{fffd}\u{fffd}…",
        ),
    ] {
        let bytes = npy(2, &header, &[0; 4]);
        assert!(!read(&npy_path, None, &bytes, &mut rng, &npy_truth), "{text}");
        let message = files::open(npy_path.as_os_str()).unwrap_err();
        assert!(message.contains(text), "{text}: {}", &message[..message.len().min(300)]);
    }
}

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
    assert!(files::read(path("link.npy").as_os_str()).is_ok());

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
