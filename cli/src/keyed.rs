//! The header of .safetensors files: tensors by key.

use std::collections::{HashMap, HashSet};
use std::fmt;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use wgloss::Dtype;

/// The key of what is no tensor.
const METADATA: &str = "__metadata__";

/// The format's own limit.
pub const MAX_HEADER: u64 = 100_000_000;

/// Parses the JSON of a header. What it takes up is bounded by the text: the crate's own way goes through a copy of any
/// JSON there may be, and of a key told twice takes the last, which the format forbids.
pub fn parse(text: &[u8]) -> Result<Metadata, String> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut tensors = json.deserialize_map(Tensors).map_err(|e| e.to_string())?;
    json.end().map_err(|e| e.to_string())?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut keys = HashSet::new();
    if let Some((key, _)) = tensors.iter().find(|(key, _)| !keys.insert(key)) {
        return Err(format!("the key {key:?} comes twice"));
    }
    Metadata::new(None, tensors).map_err(|e| e.to_string())
}

struct Tensors;

impl<'de> Visitor<'de> for Tensors {
    type Value = Vec<(String, TensorInfo)>;

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
        end += shape.iter().product::<usize>() * dtype.bytes() as usize;
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
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::Bf16 => safetensors::Dtype::BF16,
        Dtype::U8 => safetensors::Dtype::U8,
        Dtype::I32 => safetensors::Dtype::I32,
        Dtype::U32 => safetensors::Dtype::U32,
        Dtype::I64 => safetensors::Dtype::I64,
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
            let bytes = shape.iter().product::<usize>() * dtype.bytes() as usize;
            (
                key,
                TensorView::new(theirs(dtype), shape.to_vec(), &data[..bytes]).unwrap(),
            )
        });
        let written = [header(&list).unwrap(), vec![0; 8 + 24 + 6]].concat();
        assert_eq!(written, safetensors::serialize(views, None).unwrap());
        assert!(header(&[(METADATA, Dtype::F32, &[1])]).is_err());
    }
}
