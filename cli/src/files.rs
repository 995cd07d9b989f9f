//! Arrays in .npy and .safetensors files: found, and held against the files' lengths.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::Path;

use safetensors::tensor::Metadata;
use wgloss::Tensor;

use crate::numbers::Dtype;
use crate::source::{Layout, Source};
use crate::{keyed, npy, positional};

/// Text headers of .npy files are short; a longer one is not one.
const MAX_NPY_HEADER: usize = 1 << 20;

/// Those of numpy.
const MAX_DIMENSIONS: usize = 64;

/// Characters of a message about a file.
const MAX_MESSAGE: usize = 4000;

/// The file of `file.npy` or `file.safetensors:key`, and the key.
pub fn location(given: &OsStr) -> (&Path, Option<&str>) {
    let with_key = given.to_str().and_then(|text| {
        let end = text.to_ascii_lowercase().rfind(".safetensors:")? + ".safetensors".len();
        Some((Path::new(&text[..end]), Some(&text[end + 1..])))
    });
    with_key.unwrap_or((Path::new(given), None))
}

pub fn is_safetensors(path: &Path) -> bool {
    path.extension()
        .is_some_and(|own| own.eq_ignore_ascii_case("safetensors"))
}

/// Reads `file.npy` or `file.safetensors:key`. Messages name what was given.
pub fn read(given: &OsStr) -> Result<Tensor, String> {
    open(given)?.read_whole()
}

/// Opens `file.npy` or `file.safetensors:key`. Messages name what was given.
pub fn open(given: &OsStr) -> Result<Source, String> {
    let name = given.to_string_lossy().into_owned();
    let (path, key) = location(given);
    let found = regular(path).and_then(|file| {
        let layout = if is_safetensors(path) {
            find_safetensors(&file, key)
        } else {
            find_npy(&file)
        };
        Ok((file, layout?))
    });
    match found {
        Ok((Regular { file, length }, layout)) => Ok(Source::new(name, file, length, layout)),
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

fn find_npy(file: &Regular) -> Result<Layout, String> {
    let length = file.length;
    if length == 0 {
        return Err("is empty, expected a .npy file".into());
    }
    let start = file.header(0, length.min(8) as usize)?;
    let version = match start.strip_prefix(npy::MAGIC) {
        Some(&[major, _]) => major,
        _ => return Err("is neither a .npy file (it does not start as one) nor named file.safetensors:key".into()),
    };
    let prefix = npy::prefix(version).ok_or_else(|| format!(".npy version {version} is unknown, expected 1 to 3"))?;
    let cut = || "is cut off within its header".to_string();
    if length < prefix as u64 {
        return Err(cut());
    }
    let mut header_length = [0; 4];
    header_length[..prefix - 8].copy_from_slice(&file.header(8, prefix - 8)?);
    let header_length = u32::from_le_bytes(header_length) as usize;
    if header_length as u64 > length - prefix as u64 {
        return Err(cut());
    }
    if header_length > MAX_NPY_HEADER {
        return Err(format!("has a header of {header_length} bytes, no array has one"));
    }
    let text = file.header(prefix, header_length)?;
    let header = npy::parse(std::str::from_utf8(&text).map_err(|_| "its header is not text")?)?;
    let (stored, big_endian) = npy_dtype(&header.descr)?;
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
        stored,
        big_endian,
        fortran_order: header.fortran_order,
        shape: header.shape,
    })
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

const ACCEPTED: &str = "expected f16, bf16, f32, f64 or, for classes, an integer dtype";

/// The dtype of a type string such as `<f4`, and whether its bytes are big-endian.
fn npy_dtype(descr: &str) -> Result<(Dtype, bool), String> {
    let code = descr.strip_prefix(['<', '>', '|', '=']).unwrap_or(descr);
    let dtype = match code {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "i2" => Dtype::I16,
        "u2" => Dtype::U16,
        "i4" => Dtype::I32,
        "u4" => Dtype::U32,
        "i8" => Dtype::I64,
        "u8" => Dtype::U64,
        "b1" => return Err(format!("holds bool, {ACCEPTED}")),
        _ => return Err(format!("holds '{descr}', {ACCEPTED}")),
    };
    Ok((
        dtype,
        descr.starts_with('>') || descr.starts_with('=') && cfg!(target_endian = "big"),
    ))
}

/// The keys of a .safetensors file.
pub fn keys(path: &Path) -> Result<Vec<String>, String> {
    let keys = regular(path).and_then(|file| Ok(safetensors_header(&file)?.0.offset_keys()));
    keys.map_err(|message| printable(&message))
}

/// What the header of a .safetensors file says, and where the data begin.
fn safetensors_header(file: &Regular) -> Result<(Metadata, u64), String> {
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
    let metadata = keyed::parse(&text).map_err(|e| format!("{}: {e}", broken()))?;
    if metadata.data_len() as u64 != length - 8 - header_length {
        return Err(format!(
            "its header tells of {} bytes of data, the file holds {}",
            metadata.data_len(),
            length - 8 - header_length
        ));
    }
    Ok((metadata, 8 + header_length))
}

fn find_safetensors(file: &Regular, key: Option<&str>) -> Result<Layout, String> {
    let (metadata, start_of_data) = safetensors_header(file)?;
    let Some(info) = key.and_then(|key| metadata.info(key)) else {
        let mut keys = metadata.offset_keys();
        keys.sort();
        let keys = if keys.is_empty() {
            "none".into()
        } else {
            keys.join(", ")
        };
        return Err(match key {
            Some(key) => format!("has no key {key:?}; its keys: {keys}"),
            None => format!("name a tensor of it, as file.safetensors:key; its keys: {keys}"),
        });
    };
    use safetensors::Dtype as Theirs;
    let stored = match info.dtype {
        Theirs::F16 => Dtype::F16,
        Theirs::BF16 => Dtype::Bf16,
        Theirs::F32 => Dtype::F32,
        Theirs::F64 => Dtype::F64,
        Theirs::I8 => Dtype::I8,
        Theirs::U8 => Dtype::U8,
        Theirs::I16 => Dtype::I16,
        Theirs::U16 => Dtype::U16,
        Theirs::I32 => Dtype::I32,
        Theirs::U32 => Dtype::U32,
        Theirs::I64 => Dtype::I64,
        Theirs::U64 => Dtype::U64,
        other => return Err(format!("holds {other}, {ACCEPTED}")),
    };
    byte_count(&info.shape, stored)?;
    // The crate has checked that the offsets follow from the shapes.
    Ok(Layout {
        start: start_of_data + info.data_offsets.0 as u64,
        stored,
        big_endian: false,
        fortran_order: false,
        shape: info.shape.clone(),
    })
}
