//! The header of .safetensors files: tensors by key.

use std::collections::{HashMap, HashSet};
use std::fmt;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserializer, Error, MapAccess, Visitor};

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
            if key != "__metadata__" {
                tensors.push((key, map.next_value()?));
            } else if std::mem::replace(&mut told, true) {
                return Err(A::Error::duplicate_field("__metadata__"));
            } else {
                map.next_value::<Option<HashMap<String, String>>>()?;
            }
        }
        Ok(tensors)
    }
}
