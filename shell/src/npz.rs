//! The directory of .npz files, which are zip archives of .npy files, and their members. Written out here because an
//! archive is hostile input: what it claims is held against the file before anything is made for it.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use crate::positional;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: u64 = 22;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: u64 = 20;
const WIDE_END: &[u8] = b"PK\x06\x06";
const WIDE_END_BYTES: u64 = 56;
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: u64 = 30;

/// The extra field with the numbers that 32 bits do not hold.
const WIDE_FIELD: u64 = 1;

/// A longer directory is of no arrays.
const MAX_DIRECTORY: u64 = 100_000_000;

/// Deflate makes no more of a byte: 258 bytes of two bits.
const MOST_UNPACKED: u64 = 1032;

/// What is read at a time of packed bytes.
const BUFFER: usize = 8 << 10;

/// What the directory says of a member.
#[derive(Debug)]
pub struct Entry {
    pub name: String,
    flags: u64,
    method: u64,
    crc: u32,
    packed: u64,
    length: u64,
    /// Where its own header begins.
    at: u64,
}

/// The bytes of a member, found in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Where they begin in the file.
    pub start: u64,
    /// Bytes there.
    packed: u64,
    /// Bytes of the member itself.
    pub length: u64,
    pub is_deflated: bool,
    crc: u32,
}

/// Little-endian numbers one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: u64) -> Option<u64> {
        let bytes = self.take(bytes)?;
        Some(bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    fn skip(&mut self, token: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(token)?;
        Some(())
    }
}

/// Where the directory lies, and how many entries it has.
struct Directory {
    at: u64,
    size: u64,
    count: u64,
}

fn broken() -> String {
    "is not a whole .npz file (a zip archive of .npy files)".into()
}

fn bytes(file: &File, at: u64, count: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; usize::try_from(count).map_err(|_| broken())?];
    positional::read(file, at, &mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// The members of an archive.
pub fn entries(file: &File, length: u64) -> Result<Vec<Entry>, String> {
    let directory = find(file, length)?;
    if directory.size > MAX_DIRECTORY {
        return Err(format!(
            "has a directory of {} bytes, no archive of arrays has one",
            directory.size
        ));
    }
    let text = bytes(file, directory.at, directory.size)?;
    let (mut fields, mut list) = (Fields(&text), Vec::new());
    while !fields.0.is_empty() {
        list.push(entry(&mut fields).ok_or_else(broken)?);
    }
    if list.len() as u64 != directory.count {
        return Err(format!(
            "{}: it tells of {} members and lists {}",
            broken(),
            directory.count,
            list.len()
        ));
    }
    apart(&list, directory.at)?;
    Ok(list)
}

/// The end of the archive points to its directory, which lies right before it. A comment may come behind.
fn find(file: &File, length: u64) -> Result<Directory, String> {
    let tail = length.min(END_BYTES + u64::from(u16::MAX));
    let text = bytes(file, length - tail, tail)?;
    let comment = |at: usize| {
        let mut fields = Fields(&text[at..]);
        fields.skip(END)?;
        fields.take(16)?;
        fields.number(2)
    };
    let end_at = (0..text.len()).rev().find(|&at| {
        let behind = (text.len() - at) as u64;
        comment(at).is_some_and(|comment| comment + END_BYTES == behind)
    });
    let end_at = end_at.ok_or_else(broken)?;
    let own_at = length - tail + end_at as u64;
    let narrow = narrow_end(&mut Fields(&text[end_at..])).ok_or_else(broken)?;
    let (directory, ends) = match wide_end(file, own_at)? {
        Some((directory, at)) => (directory, at),
        None => (narrow, own_at),
    };
    if directory.at.checked_add(directory.size) != Some(ends) {
        return Err(broken());
    }
    Ok(directory)
}

/// The record of an archive's end. One in several files is none.
fn narrow_end(fields: &mut Fields<'_>) -> Option<Directory> {
    fields.skip(END)?;
    let disks = [fields.number(2)?, fields.number(2)?];
    let [here, count] = [fields.number(2)?, fields.number(2)?];
    let [size, at] = [fields.number(4)?, fields.number(4)?];
    (here == count && disks == [0, 0]).then_some(Directory { at, size, count })
}

/// The record with numbers of 64 bits, which a pointer right before the other one tells of, and where it lies.
fn wide_end(file: &File, end_at: u64) -> Result<Option<(Directory, u64)>, String> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR_BYTES) else {
        return Ok(None);
    };
    let text = bytes(file, locator_at, LOCATOR_BYTES)?;
    let mut fields = Fields(&text);
    if fields.skip(LOCATOR).is_none() {
        return Ok(None);
    }
    let located = [fields.number(4), fields.number(8), fields.number(4)];
    let [Some(0), Some(at), Some(1)] = located else {
        return Err(broken());
    };
    // Nothing lies between it and its pointer.
    if at.checked_add(WIDE_END_BYTES) != Some(locator_at) {
        return Err(broken());
    }
    let text = bytes(file, at, WIDE_END_BYTES)?;
    let parse = |fields: &mut Fields<'_>| {
        fields.skip(WIDE_END)?;
        let _size_and_versions = fields.take(12)?;
        let disks = [fields.number(4)?, fields.number(4)?];
        let [here, count] = [fields.number(8)?, fields.number(8)?];
        let [size, at] = [fields.number(8)?, fields.number(8)?];
        (here == count && disks == [0, 0]).then_some(Directory { at, size, count })
    };
    let directory = parse(&mut Fields(&text)).ok_or_else(broken)?;
    Ok(Some((directory, at)))
}

/// The next entry of a directory.
fn entry(fields: &mut Fields<'_>) -> Option<Entry> {
    fields.skip(ENTRY)?;
    let _versions = fields.take(4)?;
    let [flags, method] = [fields.number(2)?, fields.number(2)?];
    let _time = fields.take(4)?;
    let crc = fields.number(4)? as u32;
    let [mut packed, mut length] = [fields.number(4)?, fields.number(4)?];
    let [name, extra, comment] = [fields.number(2)?, fields.number(2)?, fields.number(2)?];
    let disk = fields.number(2)?;
    let _attributes = fields.take(6)?;
    let mut at = fields.number(4)?;
    let name = fields.take(name)?;
    let mut extra = Fields(fields.take(extra)?);
    fields.take(comment)?;
    // What 32 bits do not hold is all ones, and comes in this order.
    while !extra.0.is_empty() {
        let [kind, size] = [extra.number(2)?, extra.number(2)?];
        let mut own = Fields(extra.take(size)?);
        if kind == WIDE_FIELD {
            for number in [&mut length, &mut packed, &mut at] {
                if *number == u64::from(u32::MAX) {
                    *number = own.number(8)?;
                }
            }
        }
    }
    let name = std::str::from_utf8(name).ok()?.to_owned();
    (disk == 0).then_some(Entry {
        name,
        flags,
        method,
        crc,
        packed,
        length,
        at,
    })
}

/// Refuses members that come twice, lie over one another or reach into the directory.
fn apart(list: &[Entry], directory: u64) -> Result<(), String> {
    let mut names: Vec<&str> = list.iter().map(|own| own.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("the member {:?} comes twice", pair[0]));
    }
    let mut order: Vec<&Entry> = list.iter().collect();
    order.sort_unstable_by_key(|own| own.at);
    for (place, own) in order.iter().enumerate() {
        let next = order.get(place + 1).map_or(directory, |next| next.at);
        let end = (own.at.checked_add(own.packed)).and_then(|end| end.checked_add(LOCAL_BYTES + own.name.len() as u64));
        if end.is_none_or(|end| end > next) {
            return Err(format!(
                "{}: the member {:?} does not lie in it by itself",
                broken(),
                own.name
            ));
        }
    }
    Ok(())
}

impl Entry {
    /// The key of an array: numpy names its member so, and puts `.npy` behind.
    pub fn key(&self) -> &str {
        self.name.strip_suffix(".npy").unwrap_or(&self.name)
    }

    /// Where its bytes are, in a file of so many.
    pub fn member(&self, file: &File, file_length: u64) -> Result<Member, String> {
        let failed = |why: &str| Err(format!("its member {:?} {why}", self.name));
        if self.flags & 1 != 0 {
            return failed("is encrypted, save it without a password");
        }
        let is_deflated = match self.method {
            0 => false,
            8 => true,
            other => {
                return failed(&format!(
                    "is packed by method {other}, expected np.savez or np.savez_compressed"
                ));
            }
        };
        let claim = format!("claims {} bytes in {}", self.length, self.packed);
        if !is_deflated && self.length != self.packed {
            return failed(&format!("{claim} that are not packed"));
        }
        if is_deflated && self.length > self.packed.saturating_mul(MOST_UNPACKED) {
            return failed(&format!("{claim}, more than deflate packs into them"));
        }
        let text = bytes(file, self.at, LOCAL_BYTES + self.name.len() as u64)?;
        let mut fields = Fields(&text);
        let mut header = || {
            fields.skip(LOCAL)?;
            let _version_and_flags = fields.take(4)?;
            let method = fields.number(2)?;
            // Its sizes and checksum may come behind the bytes; the directory has them in any case.
            let _time_and_sizes = fields.take(16)?;
            let [name, extra] = [fields.number(2)?, fields.number(2)?];
            (method == self.method && fields.take(name)? == self.name.as_bytes()).then_some(extra)
        };
        let Some(extra) = header() else {
            return failed("is another one where it lies than in the directory");
        };
        // The directory says where the next one begins, but not how much of this one is its header.
        let start = self.at + text.len() as u64 + extra;
        if start.checked_add(self.packed).is_none_or(|end| end > file_length) {
            return failed("reaches beyond the file");
        }
        Ok(Member {
            start,
            packed: self.packed,
            length: self.length,
            is_deflated,
            crc: self.crc,
        })
    }
}

impl Member {
    /// Its bytes from the beginning on, unpacked.
    pub fn reader<'a>(&self, file: &'a File) -> Reader<'a> {
        let window = Window {
            file,
            at: self.start,
            left: self.packed,
        };
        Reader {
            bytes: match self.is_deflated {
                true => Bytes::Deflated(DeflateDecoder::new(BufReader::with_capacity(BUFFER, window))),
                false => Bytes::Stored(window),
            },
            left: self.length,
            crc: Crc::new(),
            expected: self.crc,
        }
    }
}

/// Part of a file, from its beginning to its end.
pub struct Window<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl<'a> Window<'a> {
    pub fn of(file: &'a File, length: u64) -> Self {
        Self {
            file,
            at: 0,
            left: length,
        }
    }
}

impl Read for Window<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        positional::read(self.file, self.at, &mut out[..count])?;
        (self.at, self.left) = (self.at + count as u64, self.left - count as u64);
        Ok(count)
    }
}

enum Bytes<'a> {
    Stored(Window<'a>),
    Deflated(DeflateDecoder<BufReader<Window<'a>>>),
}

/// The bytes of a member, as many as it claims.
pub struct Reader<'a> {
    bytes: Bytes<'a>,
    left: u64,
    crc: Crc,
    expected: u32,
}

impl Reader<'_> {
    fn next(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::Stored(window) => window.read(out),
            Bytes::Deflated(decoder) => decoder.read(out),
        }
    }

    /// Holds what was read against the checksum, once that is all.
    pub fn finish(mut self) -> Result<(), String> {
        if self.left > 0 || self.next(&mut [0]).map_err(|e| e.to_string())? > 0 {
            return Err("unpacks to more bytes than the archive claims".into());
        }
        if self.crc.sum() != self.expected {
            return Err(format!(
                "is damaged: its checksum is {:08x}, that of its bytes {:08x}",
                self.expected,
                self.crc.sum()
            ));
        }
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.next(&mut out[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::other("unpacks to fewer bytes than the archive claims"));
        }
        self.crc.update(&out[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}
