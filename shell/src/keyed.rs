//! The header of .safetensors files: tensors by key.

use std::collections::{HashMap, HashSet};
use std::fmt;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::numbers::Dtype;

/// The key of what is no tensor.
const METADATA: &str = "__metadata__";

/// The format's own limit.
pub const MAX_HEADER: u64 = 100_000_000;

/// What a header says of a tensor. The dtype is the header's word: a file is read for one key, whatever else lies in
/// it.
#[derive(Debug, Deserialize)]
pub struct Entry {
    pub dtype: String,
    pub shape: Vec<usize>,
    /// From and to, behind the header.
    pub data_offsets: (u64, u64),
}

/// What a header says: tensors by key, in the order of their data.
#[derive(Debug)]
pub struct Header {
    tensors: Vec<(String, Entry)>,
}

impl Header {
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.tensors.iter().find(|(own, _)| own == key).map(|(_, entry)| entry)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|(key, _)| key.as_str())
    }

    /// Bytes of all tensors.
    pub fn data_length(&self) -> u64 {
        self.tensors.last().map_or(0, |(_, entry)| entry.data_offsets.1)
    }
}

/// Parses the JSON of a header. What it takes up is bounded by the text: the crate's own way goes through a copy of any
/// JSON there may be, and of a key told twice takes the last, which the format forbids; and it knows no dtype but those
/// of its day.
pub fn parse(text: &[u8]) -> Result<Header, String> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut tensors = json.deserialize_map(Tensors).map_err(|e| e.to_string())?;
    json.end().map_err(|e| e.to_string())?;
    tensors.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut keys = HashSet::new();
    if let Some((key, _)) = tensors.iter().find(|(key, _)| !keys.insert(key)) {
        return Err(format!("the key {key:?} comes twice"));
    }
    let mut end = 0;
    for (key, entry) in &tensors {
        end = end_of(entry, end).map_err(|why| format!("the tensor {key:?} {why}"))?;
    }
    Ok(Header { tensors })
}

/// Where the data of a tensor end, which have to begin where those before it ended.
fn end_of(entry: &Entry, before: u64) -> Result<u64, String> {
    let (from, to) = entry.data_offsets;
    if from != before || to < from {
        return Err(format!(
            "lies at bytes {from} to {to}, expected it from byte {before} on"
        ));
    }
    let Some(bits) = bits(&entry.dtype) else {
        return Ok(to); // it says for itself how many bytes it has
    };
    let size = entry.shape.iter().try_fold(1u64, |n, &size| n.checked_mul(size as u64));
    let size = size.and_then(|n| n.checked_mul(bits)).filter(|bits| bits % 8 == 0);
    if size.map(|bits| bits / 8) != Some(to - from) {
        return Err(format!(
            "has {} bytes, which {} {:?} does not take",
            to - from,
            entry.dtype,
            entry.shape
        ));
    }
    Ok(to)
}

/// Bits of an element of the dtypes that the format knows.
fn bits(name: &str) -> Option<u64> {
    let read = dtype(name).map(|dtype| 8 * dtype.bytes() as u64);
    read.or(match name {
        "F4" => Some(4),
        "F6_E2M3" | "F6_E3M2" => Some(6),
        "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => Some(8),
        "C64" => Some(64),
        _ => None,
    })
}

/// The dtype of a header's word; `None` for one that is not read.
pub fn dtype(name: &str) -> Option<Dtype> {
    match name {
        "BOOL" => Some(Dtype::Bool),
        "F16" => Some(Dtype::F16),
        "BF16" => Some(Dtype::Bf16),
        "F32" => Some(Dtype::F32),
        "F64" => Some(Dtype::F64),
        "I8" => Some(Dtype::I8),
        "U8" => Some(Dtype::U8),
        "I16" => Some(Dtype::I16),
        "U16" => Some(Dtype::U16),
        "I32" => Some(Dtype::I32),
        "U32" => Some(Dtype::U32),
        "I64" => Some(Dtype::I64),
        "U64" => Some(Dtype::U64),
        _ => None,
    }
}

struct Tensors;

impl<'de> Visitor<'de> for Tensors {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut tensors, mut told) = (Vec::new(), false);
        while let Some(key) = map.next_key::<String>()? {
            if key != METADATA {
                tensors.push((key, map.next_value()?));
            } else if std::mem::replace(&mut told, true) {
                return Err(A::Error::duplicate_field(METADATA));
            } else {
                map.next_value::<Option<HashMap<String, String>>>()?;
            }
        }
        Ok(tensors)
    }
}

/// All bytes before the data of arrays that follow one another in the order given, those of the widest dtype first.
pub fn header(list: &[(&str, Dtype, &[usize])]) -> Result<Vec<u8>, String> {
    let mut end = 0;
    let mut tensors = Vec::new();
    for &(key, dtype, shape) in list {
        if key == METADATA {
            return Err(format!("{METADATA} is no key of a tensor"));
        }
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bytes();
        let info = TensorInfo {
            dtype: theirs(dtype),
            shape: shape.to_vec(),
            data_offsets: (start, end),
        };
        tensors.push((key.to_owned(), info));
    }
    let metadata = Metadata::new(None, tensors).map_err(|e| e.to_string())?;
    let mut text = serde_json::to_vec(&metadata).map_err(|e| e.to_string())?;
    // The data begin at a multiple of 8.
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}

fn theirs(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::Bool => safetensors::Dtype::BOOL,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::Bf16 => safetensors::Dtype::BF16,
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F64 => safetensors::Dtype::F64,
        Dtype::I8 => safetensors::Dtype::I8,
        Dtype::U8 => safetensors::Dtype::U8,
        Dtype::I16 => safetensors::Dtype::I16,
        Dtype::U16 => safetensors::Dtype::U16,
        Dtype::I32 => safetensors::Dtype::I32,
        Dtype::U32 => safetensors::Dtype::U32,
        Dtype::I64 => safetensors::Dtype::I64,
        Dtype::U64 => safetensors::Dtype::U64,
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn a_header_is_the_crates_own() {
        let data = [0; 24];
        let list: [(&str, Dtype, &[usize]); 4] = [
            ("step", Dtype::I64, &[]),
            ("a\"ü", Dtype::F32, &[2, 3]),
            ("b", Dtype::F32, &[2, 0]),
            ("h", Dtype::Bf16, &[3]),
        ];
        let views = list.map(|(key, dtype, shape)| {
            let bytes = shape.iter().product::<usize>() * dtype.bytes();
            (
                key,
                TensorView::new(theirs(dtype), shape.to_vec(), &data[..bytes]).unwrap(),
            )
        });
        let written = [header(&list).unwrap(), vec![0; 8 + 24 + 6]].concat();
        assert_eq!(written, safetensors::serialize(views, None).unwrap());
        assert!(header(&[(METADATA, Dtype::F32, &[1])]).is_err());
    }

    /// What other writers put beside the key that is asked for: dtypes that are not read, and such as nobody knew.
    #[test]
    fn other_dtypes_beside_a_key_are_passed_over() {
        let entry = |key: &str, dtype: &str, shape: &str, from: u64, to: u64| {
            format!("\"{key}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
        };
        for (dtype, bytes) in [
            ("C64", 24),
            ("F8_E4M3", 3),
            ("F8_E5M2", 3),
            ("F8_E8M0", 3),
            ("BOOL", 3),
            ("U64", 24),
            ("F128", 48),
            ("", 0),
        ] {
            let x = entry("x", "F32", "[2]", bytes, bytes + 8);
            let text = format!("{{{x},{}}}", entry("other", dtype, "[3]", 0, bytes));
            let header = parse(text.as_bytes()).unwrap();
            assert_eq!(header.keys().collect::<Vec<_>>(), ["other", "x"]);
            let own = header.get("x").unwrap();
            assert_eq!((own.dtype.as_str(), own.data_offsets), ("F32", (bytes, bytes + 8)));
            assert_eq!(header.data_length(), bytes + 8);
            // What lies between, or over another, is no whole file, whatever it is.
            for (from, to) in [(0, bytes + 1), (1, bytes + 1), (bytes + 8, bytes)] {
                let text = format!("{{{x},{}}}", entry("other", dtype, "[3]", from, to));
                assert!(parse(text.as_bytes()).is_err(), "{text}");
            }
            if bits(dtype).is_some() {
                let text = format!("{{{}}}", entry("other", dtype, "[4]", 0, bytes));
                assert!(parse(text.as_bytes()).unwrap_err().contains("does not take"));
            }
        }
        for (dtype, bytes, is_whole) in [("F4", 4, true), ("F6_E2M3", 6, true), ("F4", 5, false)] {
            let text = format!("{{{}}}", entry("x", dtype, "[8]", 0, bytes));
            assert_eq!(parse(text.as_bytes()).is_ok(), is_whole);
        }
        assert!(parse(format!("{{{}}}", entry("x", "F4", "[3]", 0, 1)).as_bytes()).is_err());
    }
}
