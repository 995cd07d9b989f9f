//! Files made, and changed.

use rand::{Rng, RngCore};
use rand_pcg::Pcg64;
use wgloss_shell::npy::MAGIC;

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
pub fn mutated(rng: &mut Pcg64, mut bytes: Vec<u8>, mut header: usize) -> Vec<u8> {
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
pub fn mended(mut bytes: Vec<u8>, before: usize, after: usize, at: usize, width: usize) -> Vec<u8> {
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

pub fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = [MAGIC, &[version, 0]].concat();
    let length = (header.len() as u32).to_le_bytes();
    bytes.extend(&length[..if version == 1 { 2 } else { 4 }]);
    [&bytes, header.as_bytes(), data].concat()
}

pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}
