//! The memory of a tensor on a device: one buffer, or several where one may not be so large.

use std::sync::Arc;

/// Bytes in a row of buffers, all but the last of which are `span` bytes long.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Memory {
    parts: Arc<[wgpu::Buffer]>,
    span: u64,
}

/// A run of bytes within one buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run<'a> {
    pub buffer: &'a wgpu::Buffer,
    pub offset: u64,
    pub size: u64,
}

impl From<wgpu::Buffer> for Memory {
    fn from(buffer: wgpu::Buffer) -> Self {
        Self {
            parts: Arc::new([buffer]),
            span: u64::MAX,
        }
    }
}

impl Memory {
    /// Buffers of `span` bytes each, but for the last.
    pub fn of(parts: Vec<wgpu::Buffer>, span: u64) -> Self {
        Self {
            parts: parts.into(),
            span,
        }
    }

    pub fn parts(&self) -> &[wgpu::Buffer] {
        &self.parts
    }

    /// The runs that a range of bytes consists of.
    pub fn runs(&self, offset: u64, size: u64) -> impl Iterator<Item = Run<'_>> {
        let mut at = offset;
        std::iter::from_fn(move || {
            let (nth, within) = (at / self.span, at % self.span);
            let size = (offset + size - at).min(self.span - within);
            let buffer = self.parts.get(nth as usize).filter(|_| size > 0)?;
            at += size;
            Some(Run {
                buffer,
                offset: within,
                size,
            })
        })
    }

    /// The range as one run, where it lies in one buffer.
    pub fn run(&self, offset: u64, size: u64) -> Option<Run<'_>> {
        self.runs(offset, size).next().filter(|run| run.size == size)
    }
}
