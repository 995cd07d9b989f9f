//! Arrays in .npy, .npz and .safetensors files: found, and held against the files' lengths.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;

use crate::numbers::Dtype;
use crate::source::{ArrayFile, Layout};
use crate::{keyed, npy, npz, positional};

/// Text headers of .npy files are short; a longer one is not one.
const MAX_NPY_HEADER: usize = 1 << 20;

/// Those of numpy.
const MAX_DIMENSIONS: usize = 64;

/// Characters of a message about a file.
const MAX_MESSAGE: usize = 4000;

/// The file of `file.npy`, `file.npz:key` or `file.safetensors:key`, and the key.
pub fn location(given: &OsStr) -> (&Path, Option<&str>) {
    let with_key = given.to_str().and_then(|text| {
        let lower = text.to_ascii_lowercase();
        let ends = [".safetensors:", ".npz:"].map(|ending| Some(lower.rfind(ending)? + ending.len() - 1));
        let end = ends.into_iter().flatten().max()?;
        Some((Path::new(&text[..end]), Some(&text[end + 1..])))
    });
    with_key.unwrap_or((Path::new(given), None))
}

pub fn is_safetensors(path: &Path) -> bool {
    path.extension()
        .is_some_and(|own| own.eq_ignore_ascii_case("safetensors"))
}

/// An archive of numpy, which is read and not written.
pub fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case("npz"))
}

/// Opens `file.npy`, `file.npz:key` or `file.safetensors:key`. Messages name what was given.
pub fn open(given: &OsStr) -> Result<ArrayFile, String> {
    let name = given.to_string_lossy().into_owned();
    let (path, key) = location(given);
    let found = regular(path).and_then(|file| {
        let layout = if is_safetensors(path) {
            find_safetensors(&file, key)
        } else if is_npz(path) {
            find_npz(&file, key)
        } else {
            find_npy(&mut npz::Window::of(&file.file, file.length), file.length)
        };
        Ok((file, layout?))
    });
    match found {
        Ok((Regular { file, length }, layout)) => Ok(ArrayFile::new(name, file, length, layout)),
        Err(message) => Err(format!("{name}: {}", printable(&message))),
    }
}

/// What a file says of itself may be long, and could speak to the terminal.
fn printable(message: &str) -> String {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut text: String = message.chars().take(MAX_MESSAGE).map(plain).collect();
    if message.chars().nth(MAX_MESSAGE).is_some() {
        text.push('…');
    }
    text
}

/// A file with a length to hold a header against, which a folder or a pipe has not.
struct Regular {
    file: File,
    length: u64,
}

fn regular(path: &Path) -> Result<Regular, String> {
    let check = |metadata: std::io::Result<std::fs::Metadata>| {
        let metadata = metadata.map_err(|e| e.to_string())?;
        if metadata.is_dir() {
            return Err("is a folder, expected a file".to_owned());
        }
        if !metadata.is_file() {
            return Err("is not a regular file".into());
        }
        Ok(metadata.len())
    };
    check(std::fs::metadata(path))?;
    let mut options = OpenOptions::new();
    // What is opened need not be what was looked at: a pipe in its place would wait for a writer.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits() as i32);
    let file = options.read(true).open(path).map_err(|e| e.to_string())?;
    let length = check(file.metadata())?;
    Ok(Regular { file, length })
}

impl Regular {
    /// Bytes of a header, which the caller has seen to lie within the file.
    fn header(&self, at: usize, len: usize) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; len];
        positional::read(&self.file, at as u64, &mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    }
}

/// The array in the bytes of a .npy file, of which so many are read from their beginning on.
fn find_npy(bytes: &mut dyn Read, length: u64) -> Result<Layout, String> {
    if length == 0 {
        return Err("is empty, expected a .npy file".into());
    }
    let mut next = |count: usize| {
        let mut own = vec![0; count];
        bytes.read_exact(&mut own).map_err(|e| e.to_string())?;
        Ok::<_, String>(own)
    };
    let start = next(length.min(8) as usize)?;
    let version = match start.strip_prefix(npy::MAGIC) {
        Some(&[major, _]) => major,
        _ => {
            return Err(
                "is neither a .npy file (it does not start as one) nor named file.npz:key or file.safetensors:key"
                    .into(),
            );
        }
    };
    let prefix = npy::prefix(version).ok_or_else(|| format!(".npy version {version} is unknown, expected 1 to 3"))?;
    let cut = || "is cut off within its header".to_string();
    if length < prefix as u64 {
        return Err(cut());
    }
    let mut header_length = [0; 4];
    header_length[..prefix - 8].copy_from_slice(&next(prefix - 8)?);
    let header_length = u32::from_le_bytes(header_length) as usize;
    if header_length as u64 > length - prefix as u64 {
        return Err(cut());
    }
    if header_length > MAX_NPY_HEADER {
        return Err(format!("has a header of {header_length} bytes, no array has one"));
    }
    let text = next(header_length)?;
    let header = npy::parse(std::str::from_utf8(&text).map_err(|_| "its header is not text")?)?;
    let (stored, big_endian) = npy::dtype(&header.descr).ok_or_else(|| unread(&header.descr))?;
    let size = byte_count(&header.shape, stored)?;
    let start = (prefix + header_length) as u64;
    let held = length - start;
    if size != held {
        return Err(format!(
            "shape {:?} of '{}' takes {size} bytes, the file holds {held}{}",
            header.shape,
            header.descr,
            if held < size { ": it is cut off" } else { "" }
        ));
    }
    Ok(Layout {
        start,
        member: None,
        stored,
        big_endian,
        fortran_order: header.fortran_order,
        shape: header.shape,
    })
}

/// The array under a key of an archive, `key.npy` or, as numpy has it, `key`.
fn find_npz(file: &Regular, key: Option<&str>) -> Result<Layout, String> {
    let entries = npz::entries(&file.file, file.length)?;
    let of = |key| {
        let exact = entries.iter().find(|own| own.name == key);
        exact.or_else(|| entries.iter().find(|own| own.key() == key))
    };
    let Some(entry) = key.and_then(of) else {
        return Err(no_key("npz", key, entries.iter().map(npz::Entry::key).collect()));
    };
    let member = entry.member(&file.file, file.length)?;
    let layout = find_npy(&mut member.reader(&file.file), member.length);
    let layout = layout.map_err(|why| format!("its member {:?} {why}", entry.name))?;
    Ok(Layout {
        member: Some(member),
        ..layout
    })
}

/// What a file has in place of the key.
fn no_key(ending: &str, key: Option<&str>, mut keys: Vec<&str>) -> String {
    keys.sort_unstable();
    let keys = if keys.is_empty() {
        "none".into()
    } else {
        keys.join(", ")
    };
    match key {
        Some(key) => format!("has no key {key:?}; its keys: {keys}"),
        None => format!("name a tensor of it, as file.{ending}:key; its keys: {keys}"),
    }
}

/// Bytes of an array. As for a tensor, dimensions beside a 0 have to be addressable, too.
fn byte_count(shape: &[usize], dtype: Dtype) -> Result<u64, String> {
    if shape.len() > MAX_DIMENSIONS {
        return Err(format!(
            "has {} dimensions, expected at most {MAX_DIMENSIONS}",
            shape.len()
        ));
    }
    let addressable = shape
        .iter()
        .try_fold(8usize, |bytes, &size| bytes.checked_mul(size.max(1)));
    match addressable {
        Some(_) => Ok(shape.iter().product::<usize>() as u64 * dtype.bytes() as u64),
        None => Err(format!("shape {shape:?} is too large to address")),
    }
}

/// Says what a dtype is that is not read, and what to do.
fn unread(name: &str) -> String {
    let plain = name.trim_start_matches(['<', '>', '|', '=']).to_lowercase();
    let (kind, cure) = match plain.as_bytes() {
        // numpy's words for what ml_dtypes has in a byte, and those of safetensors.
        [b'f' | b'v', b'1'] | [b'f', b'8' | b'6', b'_', ..] => (" (float8 or less)", "save it as one of them"),
        [b'c', b'0'..=b'9', ..] => (
            " (complex numbers)",
            "save real and imaginary part as arrays of their own",
        ),
        [b'o', ..] => (" (Python objects)", "save an array of numbers"),
        _ => ("", "save it as one of them"),
    };
    format!("holds {name}{kind}, expected f16, bf16, f32, f64, bool or an integer dtype; {cure}")
}

/// The keys of a .safetensors file.
pub fn keys(path: &Path) -> Result<Vec<String>, String> {
    let keys = regular(path).and_then(|file| Ok(safetensors_header(&file)?.0.keys().map(str::to_owned).collect()));
    keys.map_err(|message| printable(&message))
}

/// What the header of a .safetensors file says, and where the data begin.
fn safetensors_header(file: &Regular) -> Result<(keyed::Header, u64), String> {
    let length = file.length;
    let broken = || "is not a whole .safetensors file".to_string();
    if length < 8 {
        return Err(broken());
    }
    let mut header_length = [0; 8];
    header_length.copy_from_slice(&file.header(0, 8)?);
    let header_length = u64::from_le_bytes(header_length);
    if header_length > length - 8 {
        return Err(broken());
    }
    if header_length > keyed::MAX_HEADER {
        return Err(format!(
            "has a header of {header_length} bytes, the format ends at {}",
            keyed::MAX_HEADER
        ));
    }
    let text = file.header(8, header_length as usize)?;
    let header = keyed::parse(&text).map_err(|e| format!("{}: {e}", broken()))?;
    if header.data_length() != length - 8 - header_length {
        return Err(format!(
            "its header tells of {} bytes of data, the file holds {}",
            header.data_length(),
            length - 8 - header_length
        ));
    }
    Ok((header, 8 + header_length))
}

fn find_safetensors(file: &Regular, key: Option<&str>) -> Result<Layout, String> {
    let (header, start_of_data) = safetensors_header(file)?;
    let Some(entry) = key.and_then(|key| header.get(key)) else {
        return Err(no_key("safetensors", key, header.keys().collect()));
    };
    let stored = keyed::dtype(&entry.dtype).ok_or_else(|| unread(&entry.dtype))?;
    byte_count(&entry.shape, stored)?;
    // That the offsets follow from the shapes has been seen.
    Ok(Layout {
        start: start_of_data + entry.data_offsets.0,
        member: None,
        stored,
        big_endian: false,
        fortran_order: false,
        shape: entry.shape.clone(),
    })
}
