//! Tensors from .npy and .safetensors files.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::Metadata;
use wgloss::Tensor;

use crate::npy;
use crate::numbers::{Dtype, Raw, convert};

/// Text headers of .npy files are short; a longer one is not one.
const MAX_NPY_HEADER: usize = 1 << 20;

/// The file of `file.npy` or `file.safetensors:key`, and the key.
pub fn location(given: &OsStr) -> (&Path, Option<&str>) {
    let with_key = given.to_str().and_then(|text| {
        let end = text.rfind(".safetensors:")? + ".safetensors".len();
        Some((Path::new(&text[..end]), Some(&text[end + 1..])))
    });
    with_key.unwrap_or((Path::new(given), None))
}

pub fn is_safetensors(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("safetensors"))
}

/// Reads `file.npy` or `file.safetensors:key`. Messages name what was given.
pub fn read(given: &OsStr) -> Result<Tensor, String> {
    let name = given.to_string_lossy();
    let (path, key) = location(given);
    let raw = if is_safetensors(path) {
        read_safetensors(path, key)
    } else {
        read_npy(path)
    };
    raw.and_then(convert).map_err(|message| format!("{name}: {message}"))
}

/// Opens a regular file. A folder or a pipe has no length to hold a header against.
fn open(path: &Path) -> Result<(File, u64), String> {
    let metadata = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if metadata.is_dir() {
        return Err("is a folder, expected a file".into());
    }
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    Ok((file, metadata.len()))
}

/// The next `len` bytes of a file that is known to have them.
fn take(file: &mut File, len: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| format!("{len} bytes do not fit into memory"))?;
    file.take(len as u64)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() < len {
        return Err(format!("ended after {} of {len} bytes", bytes.len()));
    }
    Ok(bytes)
}

fn read_npy(path: &Path) -> Result<Raw, String> {
    let (mut file, length) = open(path)?;
    if length == 0 {
        return Err("is empty, expected a .npy file".into());
    }
    let start = take(&mut file, length.min(8) as usize)?;
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
    header_length[..prefix - 8].copy_from_slice(&take(&mut file, prefix - 8)?);
    let header_length = u32::from_le_bytes(header_length) as usize;
    if header_length as u64 > length - prefix as u64 {
        return Err(cut());
    }
    if header_length > MAX_NPY_HEADER {
        return Err(format!("has a header of {header_length} bytes, no array has one"));
    }
    let text = take(&mut file, header_length)?;
    let header = npy::parse(std::str::from_utf8(&text).map_err(|_| "its header is not text")?)?;
    let (dtype, big_endian) = npy_dtype(&header.descr)?;
    let size = byte_count(&header.shape, dtype)?;
    let held = length - (prefix + header_length) as u64;
    // Held against the file before anything is allocated.
    if size != held {
        return Err(format!(
            "shape {:?} of '{}' takes {size} bytes, the file holds {held}{}",
            header.shape,
            header.descr,
            if held < size { ": it is cut off" } else { "" }
        ));
    }
    Ok(Raw {
        dtype,
        shape: header.shape,
        fortran_order: header.fortran_order,
        big_endian,
        bytes: take(&mut file, size as usize)?,
    })
}

fn byte_count(shape: &[usize], dtype: Dtype) -> Result<u64, String> {
    let count = |size: u64, &n: &usize| size.checked_mul(n as u64);
    // A 0 anywhere makes the array empty, whatever the others multiply to.
    if shape.contains(&0) {
        return Ok(0);
    }
    shape
        .iter()
        .try_fold(dtype.bytes() as u64, count)
        .ok_or_else(|| format!("shape {shape:?} is too large to address"))
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
    let (_, metadata, _) = open_safetensors(path)?;
    Ok(metadata.offset_keys())
}

/// A .safetensors file, what its header says, and where its data begin.
fn open_safetensors(path: &Path) -> Result<(File, Metadata, u64), String> {
    let (mut file, length) = open(path)?;
    let broken = || "is not a whole .safetensors file".to_string();
    if length < 8 {
        return Err(broken());
    }
    let mut header_length = [0; 8];
    file.read_exact(&mut header_length).map_err(|e| e.to_string())?;
    let header_length = u64::from_le_bytes(header_length);
    if header_length > length - 8 {
        return Err(broken());
    }
    let text = take(&mut file, header_length as usize)?;
    let metadata: Metadata = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", broken()))?;
    if metadata.data_len() as u64 != length - 8 - header_length {
        return Err(format!(
            "its header tells of {} bytes of data, the file holds {}",
            metadata.data_len(),
            length - 8 - header_length
        ));
    }
    Ok((file, metadata, 8 + header_length))
}

fn read_safetensors(path: &Path, key: Option<&str>) -> Result<Raw, String> {
    let (mut file, metadata, start_of_data) = open_safetensors(path)?;
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
    let dtype = match info.dtype {
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
    // The library has checked that the offsets follow from the shapes.
    let (start, end) = info.data_offsets;
    file.seek(SeekFrom::Start(start_of_data + start as u64))
        .map_err(|e| e.to_string())?;
    Ok(Raw {
        dtype,
        shape: info.shape.clone(),
        fortran_order: false,
        big_endian: false,
        bytes: take(&mut file, end - start)?,
    })
}
