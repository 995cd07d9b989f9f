//! Tensors: a window of memory, on the host, in `wgpu::Buffer`s or elsewhere, with its layout.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use crate::dtype::{Dtype, Element, convert};
use crate::error::{Error, Result};
use crate::memory::{Loan, Memory, Recording};
use crate::pages::{FloatPages, Pages};
use crate::view::View;

/// The number of elements of a shape, which has to be addressable in bytes even where some dimension is 0.
pub(crate) fn checked_len(shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(8usize, |n, &d| n.checked_mul(d.max(1)))
        .map(|_| shape.iter().product())
        .ok_or_else(|| Error::operand("shape", format!("{shape:?} is too large to address")))
}

/// Memory on the host, aligned for what it holds.
pub(crate) trait HostMemory: Debug + Send + Sync {
    fn bytes(&self) -> &[u8];
}

/// Words, in which every dtype is aligned.
impl HostMemory for Vec<u64> {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

/// Memory that was a caller's.
#[derive(Debug)]
struct Taken<T>(Vec<T>);

impl<T: Element> HostMemory for Taken<T> {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

fn expect_len(shape: &[usize], len: usize) -> Result<()> {
    let wanted = checked_len(shape)?;
    if wanted == len {
        return Ok(());
    }
    let message = format!("{shape:?} holds {wanted} elements, the data has {len}");
    Err(Error::operand("shape", message))
}

#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Host(Arc<dyn HostMemory>),
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
        expect_len(shape, data.len())?;
        Self::filled(T::DTYPE, shape, |out| {
            out.copy_from_slice(bytemuck::cast_slice(data));
            Ok(())
        })
    }

    /// A host tensor in the memory of `data`, in row-major order.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_vec<T: Element>(data: Vec<T>, shape: &[usize]) -> Result<Self> {
        expect_len(shape, data.len())?;
        Ok(Self {
            storage: Storage::Host(Arc::new(Taken(data))),
            view: View::contiguous(T::DTYPE, shape),
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

    /// The same numbers of a host tensor, rounded to a float dtype. Integers beyond 2^24 are rounded to f32, and so are
    /// those that become 16-bit floats first.
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

    /// The tensor as a problem takes it: the same, or its integers as floats, on the host at once, in pages as they are
    /// read.
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

    /// A window of a buffer of a device; see `Tensor::from_buffer`.
    pub(crate) fn window_of(
        device: &wgpu::Device,
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
            storage: Storage::Device(Memory::foreign(device, buffer)),
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

    /// The buffer of a device tensor that lies in one, as all do that are not larger than a buffer may be; see
    /// [`Tensor::buffers`].
    pub fn buffer(&self) -> Option<&wgpu::Buffer> {
        match self.buffers() {
            [buffer] => Some(buffer),
            _ => None,
        }
    }

    /// The buffers of a device tensor: more than one where it is larger than a buffer may be. They stay this tensor's
    /// for good: memory of results is otherwise used again by later calls, once all handles of them are dropped, and
    /// that ends with this.
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
        self.with_memory(|memory| memory.lent(loan))
    }

    /// The same, as a result of a recording.
    pub(crate) fn recorded(&self, recording: &Arc<Recording>) -> Self {
        self.with_memory(|memory| memory.recorded(recording))
    }

    /// The same, as it was before a recording that came to nothing.
    pub(crate) fn without_recording(&self, recording: &Arc<Recording>) -> Self {
        self.with_memory(|memory| memory.without_recording(recording))
    }

    /// The same, as plans take it, of memory that begins at its base.
    pub(crate) fn behind_base(&self, step: u64) -> Self {
        let base = self.view.base(step);
        let changed = self.with_memory(|memory| memory.behind(base));
        Self {
            view: changed.view.behind_base(step),
            ..changed
        }
    }

    fn with_memory(&self, change: impl FnOnce(&Memory) -> Memory) -> Self {
        let mut changed = self.clone();
        if let Storage::Device(memory) = &mut changed.storage {
            *memory = change(memory);
        }
        changed
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

    /// It has elements in bytes of a buffer where another has some, too.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let shares = self.parts().iter().any(|buffer| other.parts().contains(buffer));
        // Places in tensors of as many buffers are alike.
        shares && (self.parts() != other.parts() || self.view.overlaps(&other.view))
    }

    /// The elements of a host tensor of type T.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        match &self.storage {
            Storage::Host(memory) if T::DTYPE == self.view.dtype => {
                let elements: &[T] = bytemuck::try_cast_slice(memory.bytes()).ok()?;
                Some(&elements[..self.view.len() as usize])
            }
            _ => None,
        }
    }

    /// The bytes of a host tensor.
    pub(crate) fn host_bytes(&self) -> Option<&[u8]> {
        match &self.storage {
            Storage::Host(memory) => Some(&memory.bytes()[..self.view.end() as usize]),
            _ => None,
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

impl<T: Element> TryFrom<&crate::values::Array<T>> for Tensor {
    type Error = Error;

    fn try_from(array: &crate::values::Array<T>) -> Result<Self> {
        Self::new(&array.data, &array.shape)
    }
}
