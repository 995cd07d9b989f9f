//! The numbers of an opened file: read whole, or window by window.

use std::fs::File;
use std::io::{self, Read};

use wgloss::{Dtype, Element, Pages, Tensor};

use crate::npz::{self, Member};
use crate::numbers::{self, convert, row_major};
use crate::positional;

/// What is read at a time where numbers are converted: a multiple of every element's size.
const PIECE: usize = 1 << 20;

/// How a file holds an array, as its header says and its length allows.
#[derive(Debug)]
pub struct Layout {
    /// Where the elements begin: in the file, or in the member.
    pub start: u64,
    /// What of an archive holds them.
    pub member: Option<Member>,
    pub stored: numbers::Dtype,
    pub big_endian: bool,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
}

/// An array in a file.
#[derive(Debug)]
pub struct ArrayFile {
    /// As the user named it.
    name: String,
    file: File,
    /// Bytes of the whole file when it was opened.
    length: u64,
    layout: Layout,
    /// What the elements are read as.
    dtype: Dtype,
    /// What i64 does not hold is read as: no class, and no index to be ignored.
    beyond: i64,
}

/// Where bytes come from.
enum Body<'a> {
    /// From the file, wherever they lie.
    Place(u64),
    /// From a member of an archive, in its order; all of them are held against its checksum.
    Member(npz::Reader<'a>),
}

impl ArrayFile {
    pub fn new(name: String, file: File, length: u64, layout: Layout) -> Self {
        let dtype = layout.stored.nearest();
        Self {
            name,
            file,
            length,
            layout,
            dtype,
            beyond: i64::MAX,
        }
    }

    /// As the user named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The dtype in the file.
    pub fn stored(&self) -> numbers::Dtype {
        self.layout.stored
    }

    /// The name of the dtype in the file, which is that of what it is read as where the library has the same.
    pub fn stored_name(&self) -> &'static str {
        self.layout.stored.name()
    }

    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// The same numbers, rounded to a float dtype. Integers and booleans become floats of their values.
    pub fn into_dtype(self, dtype: Dtype) -> Self {
        Self { dtype, ..self }
    }

    /// The same classes, of which one is to be ignored. A u64 that i64 does not hold is read as a number that is no
    /// class whatever their count, and not ignored either.
    pub fn sparing(self, ignored: Option<i64>) -> Self {
        let beyond = if ignored == Some(i64::MAX) {
            i64::MAX - 1
        } else {
            i64::MAX
        };
        Self { beyond, ..self }
    }

    /// What stands in the file where the first label is that was read as `value`, where that may be another number.
    pub fn label_behind(&self, value: i64) -> Option<String> {
        if self.layout.stored != numbers::Dtype::U64 || self.dtype != Dtype::I64 || value != self.beyond {
            return None;
        }
        let found = if self.is_column_major() {
            Ok(None)
        } else {
            self.find_beyond()
        };
        let found = found.ok().flatten().map(|label| label.to_string());
        Some(found.unwrap_or_else(|| format!("at least {value}")))
    }

    /// The first u64 that is read as what is beyond i64.
    fn find_beyond(&self) -> Result<Option<u64>, String> {
        let mut body = self.body()?;
        let mut left = self.shape().iter().map(|&size| size as u64).product::<u64>() * 8;
        let (mut piece, mut at) = (vec![0; left.min(PIECE as u64) as usize], 0);
        while left > 0 {
            let own = piece.len().min(left as usize);
            self.native(&mut body, at, &mut piece[..own])?;
            let mut all = piece[..own].chunks_exact(8).map(bytemuck::pod_read_unaligned::<u64>);
            if let Some(label) = all.find(|&label| label >= self.beyond as u64) {
                return Ok(Some(label));
            }
            (at, left) = (at + own as u64, left - own as u64);
        }
        Ok(None)
    }

    /// The only element, as a count. What the file holds instead is the error.
    pub fn count(&self) -> Result<u64, String> {
        if self.shape().iter().any(|&size| size != 1) {
            return Err(format!("{} {:?}", self.stored_name(), self.shape()));
        }
        let element = &mut [0; 8][..self.layout.stored.bytes()];
        self.native(&mut self.body()?, 0, element)?;
        numbers::count(self.layout.stored, element).map_err(|other| format!("{} {other}", self.stored_name()))
    }

    /// Bytes of all elements as they are read.
    pub fn bytes(&self) -> u64 {
        self.shape().iter().map(|&size| size as u64).product::<u64>() * self.dtype.bytes()
    }

    /// Whether windows of it are windows of the file.
    pub fn pageable(&self) -> Result<(), String> {
        if self.layout.member.as_ref().is_some_and(|member| member.is_deflated) {
            return Err(format!(
                "{}: is compressed, which cannot be read window by window; save it with np.savez, or np.save",
                self.name
            ));
        }
        if !self.is_column_major() {
            return Ok(());
        }
        Err(format!(
            "{}: is in Fortran order, which cannot be read window by window; save it in C order",
            self.name
        ))
    }

    pub fn read_whole(&self) -> Result<Tensor, String> {
        self.whole().map_err(|message| format!("{}: {message}", self.name))
    }

    /// Stored with the first index fastest, which differs from the last fastest.
    fn is_column_major(&self) -> bool {
        self.layout.fortran_order && self.shape().iter().filter(|&&size| size != 1).count() > 1
    }

    fn whole(&self) -> Result<Tensor, String> {
        let length = self.bytes();
        let mut words = words(length)?;
        let mut body = self.body()?;
        self.fill(&mut body, 0, bytes_of(&mut words, length))?;
        if let Body::Member(reader) = body {
            reader.finish()?;
        }
        if self.is_column_major() {
            let mut rearranged = self::words(length)?;
            row_major(
                bytes_of(&mut words, length),
                self.shape(),
                bytes_of(&mut rearranged, length),
            );
            words = rearranged;
        }
        let bytes = bytes_of(&mut words, length);
        match self.dtype {
            Dtype::F32 => self.tensor::<f32>(bytes),
            Dtype::F16 => self.tensor::<half::f16>(bytes),
            Dtype::Bf16 => self.tensor::<half::bf16>(bytes),
            Dtype::U8 => self.tensor::<u8>(bytes),
            Dtype::I32 => self.tensor::<i32>(bytes),
            Dtype::U32 => self.tensor::<u32>(bytes),
            Dtype::I64 => self.tensor::<i64>(bytes),
        }
    }

    /// The bytes of the elements, from the first on.
    fn body(&self) -> Result<Body<'_>, String> {
        let Some(member) = &self.layout.member else {
            return Ok(Body::Place(self.layout.start));
        };
        let mut reader = member.reader(&self.file);
        let header = io::copy(&mut (&mut reader).take(self.layout.start), &mut io::sink());
        match header.map_err(|e| e.to_string())? == self.layout.start {
            true => Ok(Body::Member(reader)),
            false => Err("is cut off within its header".into()),
        }
    }

    fn tensor<T: Element>(&self, bytes: &[u8]) -> Result<Tensor, String> {
        Tensor::new::<T>(bytemuck::cast_slice(bytes), self.shape()).map_err(|e| e.to_string())
    }

    /// The bytes from `offset` on, in the order of the file, wherever the window begins and ends.
    fn fill(&self, body: &mut Body<'_>, mut offset: u64, mut out: &mut [u8]) -> Result<(), String> {
        let length = self.bytes();
        // Whole words are asked for: there is nothing behind the last element.
        let behind = (offset + out.len() as u64).saturating_sub(length);
        if behind > length.next_multiple_of(4) - length {
            let end = offset + out.len() as u64;
            return Err(format!("bytes {offset} to {end} are asked for, it has {length}"));
        }
        let inside = out.len() - behind as usize;
        out[inside..].fill(0);
        out = &mut out[..inside];

        let size = self.dtype.bytes() as usize;
        while !out.is_empty() {
            let (first, cut) = (offset / size as u64, offset as usize % size);
            let whole = if cut == 0 { out.len() / size * size } else { 0 };
            let taken = if whole > 0 {
                self.elements(body, first, &mut out[..whole])?;
                whole
            } else {
                let element = &mut [0; 8][..size];
                self.elements(body, first, element)?;
                let taken = out.len().min(size - cut);
                out[..taken].copy_from_slice(&element[cut..cut + taken]);
                taken
            };
            offset += taken as u64;
            out = &mut out[taken..];
        }
        self.check_length()
    }

    /// Whole elements, the `first` of the file and those behind it.
    fn elements(&self, body: &mut Body<'_>, first: u64, out: &mut [u8]) -> Result<(), String> {
        let (from, to) = (self.layout.stored.bytes(), self.dtype.bytes() as usize);
        let mut at = first * from as u64;
        if self.layout.stored.same() == Some(self.dtype) {
            return self.native(body, at, out);
        }
        let mut piece = vec![0; PIECE.min(out.len() / to * from)];
        for out in out.chunks_mut(PIECE / from * to) {
            let bytes = &mut piece[..out.len() / to * from];
            self.native(body, at, bytes)?;
            convert(self.layout.stored, bytes, self.dtype, self.beyond, out)?;
            at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Bytes of the elements, in the machine's order.
    fn native(&self, body: &mut Body<'_>, at: u64, out: &mut [u8]) -> Result<(), String> {
        let read = match body {
            Body::Place(start) => positional::read(&self.file, *start + at, out),
            Body::Member(reader) => reader.read_exact(out), // one after the other
        };
        if let Err(error) = read {
            self.check_length()?;
            return Err(error.to_string());
        }
        if self.layout.big_endian != cfg!(target_endian = "big") {
            match self.layout.stored.bytes() {
                1 => {}
                2 => out.as_chunks_mut::<2>().0.iter_mut().for_each(|own| own.reverse()),
                4 => out.as_chunks_mut::<4>().0.iter_mut().for_each(|own| own.reverse()),
                _ => out.as_chunks_mut::<8>().0.iter_mut().for_each(|own| own.reverse()),
            }
        }
        Ok(())
    }

    /// Others may write to the file while it is read.
    fn check_length(&self) -> Result<(), String> {
        let length = self.file.metadata().map_err(|e| e.to_string())?.len();
        if length == self.length {
            return Ok(());
        }
        Err(format!(
            "had {} bytes and has {length} now: it was changed while it was read",
            self.length
        ))
    }
}

impl Pages for ArrayFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let filled = self.pageable().map_err(io::Error::other);
        let in_file = self.layout.member.as_ref().map_or(0, |member| member.start);
        filled.and_then(|()| {
            self.fill(&mut Body::Place(in_file + self.layout.start), offset, out)
                .map_err(|message| io::Error::other(format!("{}: {message}", self.name)))
        })
    }
}

/// Zeroed memory for so many bytes, aligned for all elements.
fn words(bytes: u64) -> Result<Vec<u64>, String> {
    let message = || format!("{bytes} bytes do not fit into memory");
    let count = usize::try_from(bytes.div_ceil(8)).map_err(|_| message())?;
    let mut words = Vec::new();
    words.try_reserve_exact(count).map_err(|_| message())?;
    words.resize(count, 0);
    Ok(words)
}

fn bytes_of(words: &mut [u64], length: u64) -> &mut [u8] {
    &mut bytemuck::cast_slice_mut(words)[..length as usize]
}

#[cfg(test)]
mod tests;
