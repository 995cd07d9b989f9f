//! Tensors: a window of memory, on the host or in a `wgpu::Buffer`, with shape, row stride and dtype.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{Loan, Memory};
use crate::pages::{FloatPages, Pages};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
    U8,
    I32,
    U32,
    I64,
}

impl Dtype {
    /// What losses compute on.
    pub const FLOATS: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];
    /// What class targets may be.
    pub const LABELS: [Self; 4] = [Self::U8, Self::I32, Self::U32, Self::I64];

    pub fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::I64 => 8,
        }
    }

    pub fn is_float(self) -> bool {
        Self::FLOATS.contains(&self)
    }

    /// A float of 16 bits, two of which share a word in the shaders.
    pub fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16)
    }

    /// The name in pieces, pipeline labels and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::U8 => "u8",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Rust types that a tensor can hold.
pub trait Element: bytemuck::Pod {
    const DTYPE: Dtype;
}

macro_rules! element {
    ($($type:ty => $dtype:ident),*) => {
        $(impl Element for $type { const DTYPE: Dtype = Dtype::$dtype; })*
    };
}
element!(f32 => F32, half::f16 => F16, half::bf16 => Bf16, u8 => U8, i32 => I32, u32 => U32, i64 => I64);

/// Where a tensor lies and how it is laid out, without its memory: all that validation and planning look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Elements from one index of the first dimension to the next; at least the product of the others. The other
    /// dimensions are contiguous.
    pub row_stride: usize,
    /// Bytes before the first element.
    pub offset: u64,
}

impl View {
    pub fn contiguous(dtype: Dtype, shape: &[usize]) -> Self {
        Self {
            dtype,
            shape: shape.to_vec(),
            row_stride: shape.iter().skip(1).product(),
            offset: 0,
        }
    }

    pub fn len(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The product of all dimensions but the first.
    pub fn slab(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    pub fn is_contiguous(&self) -> bool {
        self.gap() == 0
    }

    /// Elements between one row, an index of the first dimension, and the next.
    pub fn gap(&self) -> usize {
        match self.shape.first() {
            Some(&n) if n > 1 => self.row_stride - self.slab(),
            _ => 0,
        }
    }

    /// Elements from the first to the last, both counted.
    pub fn extent(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let rows = self.shape.first().copied().unwrap_or(1) as u64;
        (rows - 1) * self.row_stride as u64 + self.slab() as u64
    }

    /// Bytes behind the last element, from the start of the memory.
    pub fn end(&self) -> u64 {
        self.offset + self.extent() * self.dtype.bytes()
    }

    /// Stride of each dimension, in elements.
    pub fn strides(&self) -> Vec<u64> {
        let mut strides = vec![1u64; self.shape.len()];
        for d in (0..self.shape.len().saturating_sub(1)).rev() {
            strides[d] = strides[d + 1] * self.shape[d + 1] as u64;
        }
        if let Some(first) = strides.first_mut() {
            *first = self.row_stride as u64;
        }
        strides
    }
}

/// The number of elements of a shape, which has to be addressable in bytes even where some dimension is 0.
fn checked_len(shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(8usize, |n, &d| n.checked_mul(d.max(1)))
        .map(|_| shape.iter().product())
        .ok_or_else(|| Error::operand("shape", format!("{shape:?} is too large to address")))
}

#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// Held in words of 8 bytes, so that every dtype is aligned.
    Host(Arc<Vec<u64>>),
    Device(Memory),
    /// Read window by window, by a stream.
    Pages(Arc<dyn Pages>),
    /// Nowhere: only its layout is known.
    Absent,
}

/// A window of host or device memory. Cloning shares the memory.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub(crate) storage: Storage,
    pub(crate) view: View,
}

impl Tensor {
    /// A host tensor with a copy of `data`, in row-major order.
    ///
    /// # Errors
    /// [`Error::Operand`] when `shape` does not hold `data.len()` elements.
    pub fn new<T: Element>(data: &[T], shape: &[usize]) -> Result<Self> {
        let wanted = checked_len(shape)?;
        if wanted != data.len() {
            return Err(Error::operand(
                "shape",
                format!("{shape:?} holds {wanted} elements, the data has {}", data.len()),
            ));
        }
        Self::filled(T::DTYPE, shape, |out| {
            out.copy_from_slice(bytemuck::cast_slice(data));
            Ok(())
        })
    }

    /// A host tensor without gaps whose bytes are written by a function.
    pub(crate) fn filled(dtype: Dtype, shape: &[usize], fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Self> {
        let bytes = checked_len(shape)? * dtype.bytes() as usize;
        let mut words = vec![0u64; bytes.div_ceil(8)];
        fill(&mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes])?;
        Ok(Self {
            storage: Storage::Host(Arc::new(words)),
            view: View::contiguous(dtype, shape),
        })
    }

    /// A host tensor of floats rounded to a dtype.
    pub(crate) fn rounded(data: &[f64], dtype: Dtype, shape: &[usize]) -> Result<Self> {
        let single = || data.iter().map(|&x| x as f32);
        match dtype {
            Dtype::F16 => Self::new(&single().map(half::f16::from_f32).collect::<Vec<_>>(), shape),
            Dtype::Bf16 => Self::new(&single().map(half::bf16::from_f32).collect::<Vec<_>>(), shape),
            _ => Self::new(&single().collect::<Vec<_>>(), shape),
        }
    }

    /// The same numbers of a host tensor, rounded to a float dtype. Integers beyond 2^24 are rounded to f32, and so are those
    /// that become 16-bit floats first.
    ///
    /// # Errors
    /// [`Error::Operand`] for a tensor that is not on the host, or a dtype that is no float.
    pub fn to_dtype(&self, dtype: Dtype) -> Result<Self> {
        let Some(bytes) = self.host_bytes().filter(|_| dtype.is_float()) else {
            return Err(Error::operand(
                "dtype",
                format!(
                    "{} {} to {dtype}: expected a tensor on the host, and a float dtype",
                    self.dtype(),
                    self.whereabouts()
                ),
            ));
        };
        Self::filled(dtype, self.shape(), |out| {
            convert(self.dtype(), bytes, dtype, out);
            Ok(())
        })
    }

    /// The tensor as a problem takes it: the same, or its integers as floats, on the host at once, in pages as they are read.
    pub(crate) fn taken_as(&self, dtype: Dtype) -> Result<Cow<'_, Self>> {
        if dtype == self.dtype() {
            return Ok(Cow::Borrowed(self));
        }
        if let Storage::Pages(pages) = &self.storage {
            let floats = FloatPages::new(pages.clone(), self.view(), dtype);
            return Self::from_pages(Arc::new(floats), dtype, self.shape()).map(Cow::Owned);
        }
        self.to_dtype(dtype).map(Cow::Owned)
    }

    /// A window of the user's own buffer, read (or written) in place. `row_stride` is the number of elements from one
    /// index of the first dimension to the next: for logits (N, C) whose rows are padded to C' columns, C'.
    /// `offset` counts bytes. The buffer needs `STORAGE` usage, and `COPY_SRC` to be read back.
    ///
    /// # Errors
    /// [`Error::Operand`] when rows would overlap, the offset is not a multiple of the element size, or the window
    /// does not lie within the buffer.
    pub fn from_buffer(
        buffer: wgpu::Buffer,
        offset: u64,
        dtype: Dtype,
        shape: &[usize],
        row_stride: Option<usize>,
    ) -> Result<Self> {
        checked_len(shape)?;
        let mut view = View::contiguous(dtype, shape);
        let slab = view.slab();
        if let Some(stride) = row_stride {
            if stride < slab {
                return Err(Error::operand(
                    "row_stride",
                    format!("{stride} is less than the {slab} elements of a row of {shape:?}"),
                ));
            }
            if shape.len() < 2 && stride != slab {
                return Err(Error::operand(
                    "row_stride",
                    format!("{stride} given for shape {shape:?}, which has no rows"),
                ));
            }
            if shape
                .first()
                .is_some_and(|&n| stride.checked_mul(8).and_then(|b| b.checked_mul(n)).is_none())
            {
                return Err(Error::operand(
                    "row_stride",
                    format!("{stride} is too large to address"),
                ));
            }
            view.row_stride = stride;
        }
        view.offset = offset;
        if !offset.is_multiple_of(dtype.bytes()) {
            return Err(Error::operand(
                "offset",
                format!("{offset} is not a multiple of {} bytes ({dtype})", dtype.bytes()),
            ));
        }
        if offset > buffer.size() {
            return Err(Error::operand(
                "offset",
                format!("{offset}, the buffer has {} bytes", buffer.size()),
            ));
        }
        // Shaders and copies take whole words.
        if view.end().next_multiple_of(4) > buffer.size() {
            return Err(Error::operand(
                "shape",
                format!(
                    "{shape:?} {dtype} ends at byte {}, rounded up to whole words, the buffer has {}",
                    view.end().next_multiple_of(4),
                    buffer.size()
                ),
            ));
        }
        Ok(Self {
            storage: Storage::Device(buffer.into()),
            view,
        })
    }

    /// A tensor that lies elsewhere, such as in a file, for a [`Stream`](crate::Stream): in row-major order
    /// without gaps.
    ///
    /// # Errors
    /// [`Error::Operand`] for a shape that is too large to address.
    pub fn from_pages(pages: Arc<dyn Pages>, dtype: Dtype, shape: &[usize]) -> Result<Self> {
        checked_len(shape)?;
        Ok(Self {
            storage: Storage::Pages(pages),
            view: View::contiguous(dtype, shape),
        })
    }

    /// A shape and a dtype without any elements, for what looks at no more: [`Engine::warm_up`](crate::Engine::warm_up)
    /// and [`Loss::problem`](crate::Loss::problem).
    ///
    /// # Errors
    /// [`Error::Operand`] for a shape that is too large to address.
    pub fn placeholder(dtype: Dtype, shape: &[usize]) -> Result<Self> {
        checked_len(shape)?;
        Ok(Self {
            storage: Storage::Absent,
            view: View::contiguous(dtype, shape),
        })
    }

    /// Where it lies, in words for messages.
    pub(crate) fn whereabouts(&self) -> &'static str {
        match self.storage {
            Storage::Host(_) => "on the host",
            Storage::Device(_) => "on a device",
            Storage::Pages(_) => "in pages elsewhere",
            Storage::Absent => "a placeholder, which has no elements",
        }
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    pub fn shape(&self) -> &[usize] {
        &self.view.shape
    }

    pub fn dtype(&self) -> Dtype {
        self.view.dtype
    }

    /// The buffer of a device tensor that lies in one.
    pub fn buffer(&self) -> Option<&wgpu::Buffer> {
        match self.buffers() {
            [buffer] => Some(buffer),
            _ => None,
        }
    }

    /// The buffers of a device tensor: more than one where it is larger than a buffer may be. They stay the tensor's: the
    /// memory of a small result, else used again by a call like its own once the last handle is dropped, is not where its
    /// buffer was asked for.
    pub fn buffers(&self) -> &[wgpu::Buffer] {
        if let Some(memory) = self.memory() {
            memory.expose();
        }
        self.parts()
    }

    /// The same, for us who use them and let them go.
    pub(crate) fn parts(&self) -> &[wgpu::Buffer] {
        self.memory().map_or(&[], Memory::parts)
    }

    /// The same, held by a loan.
    pub(crate) fn lent(&self, loan: &Arc<Loan>) -> Self {
        let mut lent = self.clone();
        if let Storage::Device(memory) = &mut lent.storage {
            *memory = memory.lent(loan);
        }
        lent
    }

    pub(crate) fn memory(&self) -> Option<&Memory> {
        match &self.storage {
            Storage::Device(memory) => Some(memory),
            _ => None,
        }
    }

    pub(crate) fn pages(&self) -> Option<&dyn Pages> {
        match &self.storage {
            Storage::Pages(pages) => Some(pages.as_ref()),
            _ => None,
        }
    }

    pub(crate) fn shares_buffer(&self, other: &Self) -> bool {
        self.parts().iter().any(|buffer| other.parts().contains(buffer))
    }

    /// The elements of a host tensor of type T.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        match &self.storage {
            Storage::Host(words) if T::DTYPE == self.view.dtype => {
                Some(&bytemuck::cast_slice(words)[..self.view.len() as usize])
            }
            _ => None,
        }
    }

    /// The bytes of a host tensor.
    pub(crate) fn host_bytes(&self) -> Option<&[u8]> {
        match &self.storage {
            Storage::Host(words) => Some(&bytemuck::cast_slice(words)[..self.view.end() as usize]),
            _ => None,
        }
    }
}

/// Numbers of any dtype as f32, which holds all floats; of integers, the nearest.
pub(crate) fn floats(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    if dtype == Dtype::F32 {
        return bytemuck::pod_collect_to_vec(bytes);
    }
    let widen = |own: &[u8]| match dtype {
        Dtype::F32 => bytemuck::pod_read_unaligned(own),
        Dtype::F16 => bytemuck::pod_read_unaligned::<half::f16>(own).to_f32(),
        Dtype::Bf16 => bytemuck::pod_read_unaligned::<half::bf16>(own).to_f32(),
        Dtype::U8 => f32::from(own[0]),
        Dtype::I32 => bytemuck::pod_read_unaligned::<i32>(own) as f32,
        Dtype::U32 => bytemuck::pod_read_unaligned::<u32>(own) as f32,
        Dtype::I64 => bytemuck::pod_read_unaligned::<i64>(own) as f32,
    };
    bytes.chunks_exact(dtype.bytes() as usize).map(widen).collect()
}

/// Numbers as those of a float dtype, as many as `out` has room for.
pub(crate) fn convert(from: Dtype, bytes: &[u8], to: Dtype, out: &mut [u8]) {
    // In pieces: the numbers in between are not worth memory of the tensor's size.
    const PIECE: usize = 1 << 14;
    let (size, own) = (to.bytes() as usize, from.bytes() as usize);
    for (bytes, out) in bytes.chunks(PIECE * own).zip(out.chunks_mut(PIECE * size)) {
        for (x, out) in floats(from, bytes).into_iter().zip(out.chunks_exact_mut(size)) {
            match to {
                Dtype::F16 => out.copy_from_slice(&half::f16::from_f32(x).to_ne_bytes()),
                Dtype::Bf16 => out.copy_from_slice(&half::bf16::from_f32(x).to_ne_bytes()),
                _ => out.copy_from_slice(&x.to_ne_bytes()),
            }
        }
    }
}

/// Truth values are numbers, 0 and 1.
impl<S: AsRef<[usize]>> TryFrom<(&[bool], S)> for Tensor {
    type Error = Error;

    fn try_from((data, shape): (&[bool], S)) -> Result<Self> {
        let numbers: Vec<u8> = data.iter().map(|&is| is.into()).collect();
        Self::new(&numbers, shape.as_ref())
    }
}

/// A number is a 0-d tensor.
impl TryFrom<f32> for Tensor {
    type Error = Error;

    fn try_from(number: f32) -> Result<Self> {
        Self::new(&[number], &[])
    }
}

/// A slice with its shape becomes a host tensor, as the function forms of the losses take them.
impl<T: Element, S: AsRef<[usize]>> TryFrom<(&[T], S)> for Tensor {
    type Error = Error;

    fn try_from((data, shape): (&[T], S)) -> Result<Self> {
        Self::new(data, shape.as_ref())
    }
}

impl TryFrom<&Tensor> for Tensor {
    type Error = Error;

    fn try_from(tensor: &Tensor) -> Result<Self> {
        Ok(tensor.clone())
    }
}

impl<T: Element> TryFrom<&crate::readback::Array<T>> for Tensor {
    type Error = Error;

    fn try_from(array: &crate::readback::Array<T>) -> Result<Self> {
        Self::new(&array.data, &array.shape)
    }
}
