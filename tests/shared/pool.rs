//! Tensors in one buffer.

use wgloss::{Dtype, Engine, Tensor};

use crate::common::cases::blank;
use crate::common::own::bytes_of;

/// What a buffer will hold.
pub struct Layout {
    /// Tensors begin at multiples of this, and of their elements.
    align: u64,
    pieces: Vec<(u64, Tensor)>,
    end: u64,
    /// Where the last output ends: two of them may not have elements in one word.
    written: u64,
}

/// A buffer with all of them.
pub struct Pool {
    pub buffer: wgpu::Buffer,
    pub tensors: Vec<Tensor>,
    held: Vec<u8>,
    ranges: Vec<std::ops::Range<usize>>,
}

impl Layout {
    pub fn new(align: u64) -> Self {
        Self {
            align,
            pieces: Vec::new(),
            end: align,
            written: 0,
        }
    }

    /// Room for a tensor; its number.
    pub fn put(&mut self, tensor: &Tensor) -> usize {
        let bytes = tensor.dtype().bytes();
        let first = self.end.next_multiple_of(self.align.max(bytes)).next_multiple_of(bytes);
        self.end = first + tensor.view().len() * bytes;
        self.pieces.push((first, tensor.clone()));
        self.pieces.len() - 1
    }

    /// Room for a result.
    pub fn room(&mut self, dtype: Dtype, shape: &[usize]) -> usize {
        if self.end / 4 == self.written.saturating_sub(1) / 4 && self.written > 0 {
            self.end = self.written.next_multiple_of(4);
        }
        let nth = self.put(&blank(dtype, shape));
        self.is_written();
        nth
    }

    /// What was put last is a result.
    pub fn is_written(&mut self) {
        self.written = self.end;
    }

    pub fn build(&self, engine: &Engine) -> Pool {
        // What lies between is no number that anybody expects.
        let mut held = vec![0xa5u8; self.end.next_multiple_of(16) as usize + 16];
        let mut ranges = Vec::new();
        for (first, tensor) in &self.pieces {
            let own = bytes_of(tensor);
            let range = *first as usize..*first as usize + own.len();
            held[range.clone()].copy_from_slice(&own);
            ranges.push(range);
        }
        let (device, queue) = engine.wgpu().unwrap();
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("pool"),
            size: held.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        queue.write_buffer(&buffer, 0, &held);
        let window = |(first, tensor): &(u64, Tensor)| {
            Tensor::from_buffer(engine, buffer.clone(), *first, tensor.dtype(), tensor.shape(), None).unwrap()
        };
        Pool {
            tensors: self.pieces.iter().map(window).collect(),
            buffer,
            held,
            ranges,
        }
    }
}

impl Pool {
    /// The bytes outside of these tensors are what they were.
    pub fn expect_untouched(&self, engine: &Engine, but: &[usize], what: &str) {
        let all = Tensor::from_buffer(engine, self.buffer.clone(), 0, Dtype::U32, &[self.held.len() / 4], None);
        let words = all.unwrap().read::<u32>(engine).unwrap();
        let now: &[u8] = bytemuck::cast_slice(&words);
        let is_ours = |at: usize| but.iter().any(|&nth| self.ranges[nth].contains(&at));
        let changed = (0..now.len()).find(|&at| now[at] != self.held[at] && !is_ours(at));
        assert!(
            changed.is_none(),
            "{what}: byte {changed:?} is not the call's; tensors at {:?}, results {but:?}",
            self.ranges
        );
    }
}
