//! The header of .npy files. Written out here because a header is hostile input: nothing in it may overflow, recurse or
//! allocate.

use crate::numbers::Dtype;

/// What a header says.
#[derive(Debug, PartialEq)]
pub struct Header {
    /// The type string, such as `<f4`.
    pub descr: String,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
}

pub const MAGIC: &[u8] = b"\x93NUMPY";

/// Length of magic, version and header length; for version 1 the length has two bytes, for 2 and 3 four.
pub fn prefix(version: u8) -> Option<usize> {
    match version {
        1 => Some(10),
        2 | 3 => Some(12),
        _ => None,
    }
}

/// Parses the dictionary literal `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
pub fn parse(text: &str) -> Result<Header, String> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    let mut rest = Literal(text);
    rest.expect("{")?;
    while !rest.skip("}") {
        let key = rest.string()?;
        rest.expect(":")?;
        match key {
            "descr" if rest.skip("[") => return Err("holds records, expected numbers".into()),
            "descr" => descr = Some(rest.string()?.to_owned()),
            "fortran_order" => fortran_order = Some(rest.boolean()?),
            "shape" => shape = Some(rest.tuple()?),
            _ => return Err(format!("its header has the unknown key {key:?}")),
        }
        if !rest.skip(",") {
            rest.expect("}")?;
            break;
        }
    }
    if !rest.0.trim().is_empty() {
        return Err("its header has text after the dictionary".into());
    }
    match (descr, fortran_order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header {
            descr,
            fortran_order,
            shape,
        }),
        _ => Err("its header lacks descr, fortran_order or shape".into()),
    }
}

/// What remains to be parsed.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn skip(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.skip(token) {
            Ok(())
        } else {
            Err(format!("its header lacks {token:?}"))
        }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.skip("\"") { '"' } else { '\'' };
        if quote == '\'' {
            self.expect("'")?;
        }
        let (text, rest) = self.0.split_once(quote).ok_or("its header has an open string")?;
        self.0 = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        if self.skip("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    /// Sizes of dimensions; Python 2 wrote an L behind each.
    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut sizes = Vec::new();
        self.expect("(")?;
        while !self.skip(")") {
            let text = self.0.trim_start();
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (number, rest) = text.split_at(digits);
            let size = number
                .parse()
                .map_err(|_| format!("its header has a bad shape at {:?}", start(text)))?;
            sizes.push(size);
            self.0 = rest;
            self.skip("L");
            if !self.skip(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(sizes)
    }
}

/// Enough of a text to recognize it in a message.
fn start(text: &str) -> String {
    text.chars().take(24).collect()
}

/// The type string of a dtype. numpy has none for bf16: what ml_dtypes makes it write, raw pairs of bytes, says nothing
/// of what they are to who reads them.
pub fn descr(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::Bf16 => None,
        Dtype::Bool => Some("|b1"),
        Dtype::F16 => Some("<f2"),
        Dtype::F32 => Some("<f4"),
        Dtype::F64 => Some("<f8"),
        Dtype::I8 => Some("|i1"),
        Dtype::U8 => Some("|u1"),
        Dtype::I16 => Some("<i2"),
        Dtype::U16 => Some("<u2"),
        Dtype::I32 => Some("<i4"),
        Dtype::U32 => Some("<u4"),
        Dtype::I64 => Some("<i8"),
        Dtype::U64 => Some("<u8"),
    }
}

/// The dtype of a type string, and whether its bytes are big-endian; `None` for one that is not read.
pub fn dtype(descr: &str) -> Option<(Dtype, bool)> {
    let code = descr.strip_prefix(['<', '>', '|', '=']).unwrap_or(descr);
    let dtype = match code {
        "b1" => Dtype::Bool,
        "f2" => Dtype::F16,
        // As numpy saves bf16 of ml_dtypes, and saves it again once it has loaded that.
        "V2" => Dtype::Bf16,
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
        _ => return None,
    };
    let is_big = descr.starts_with('>') || descr.starts_with('=') && cfg!(target_endian = "big");
    Some((dtype, is_big))
}

/// All bytes before the data of an array in row-major order: a multiple of 64, as the format asks.
pub fn header(dtype: Dtype, shape: &[usize]) -> Result<Vec<u8>, String> {
    let descr = descr(dtype).ok_or_else(|| format!("a .npy file cannot hold {}", dtype.name()))?;
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    // A tuple of one has a comma, longer ones need none.
    let sizes = if shape.len() == 1 {
        sizes.trim_end()
    } else {
        sizes.trim_end_matches(", ")
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    while !(10 + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_header_is_read_back() {
        for shape in [vec![], vec![0], vec![7], vec![3, 4], vec![2, 0, 5]] {
            let bytes = header(Dtype::F32, &shape).unwrap();
            assert_eq!(bytes.len() % 64, 0);
            let header = parse(std::str::from_utf8(&bytes[10..]).unwrap()).unwrap();
            assert_eq!(
                (header.descr.as_str(), header.fortran_order, header.shape),
                ("<f4", false, shape)
            );
        }
    }

    #[test]
    fn other_writers_are_understood() {
        let header = parse("{\"shape\": (3L, 4L), \"fortran_order\": True, \"descr\": \">i8\"}").unwrap();
        assert_eq!(
            (header.descr.as_str(), header.fortran_order, header.shape),
            (">i8", true, vec![3, 4])
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f4'}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} 2",
            "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)",
            "((((((((((((((((",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn type_strings_go_around() {
        for text in [
            "|b1", "<f2", "<f4", "<f8", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8",
        ] {
            let (own, is_big) = dtype(text).unwrap();
            assert_eq!((descr(own), is_big), (Some(text), false));
            assert_eq!(dtype(&format!(">{}", &text[1..])), Some((own, true)));
        }
        for raw in ["<V2", "|V2"] {
            assert_eq!(dtype(raw), Some((Dtype::Bf16, false)));
        }
        for other in ["<f1", "|V1", "|V4", "<c8", "|O", "<U3", "<f16", "<M8[ns]", "", "<"] {
            assert_eq!(dtype(other), None);
        }
    }
}
