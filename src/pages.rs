//! Tensors that lie elsewhere, such as in files: read and written window by window.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use crate::dtype::{Dtype, convert};
use crate::view::View;

/// Where the elements of a tensor are read from: in row-major order, without gaps, in the tensor's dtype.
pub trait Pages: Debug + Send + Sync {
    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// What kept it from doing so; the call that streams fails with it.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

/// Where the elements of a result are written to, in row-major order. Windows come in any order, each byte once.
pub trait Sink: Send {
    /// Stores the bytes at `offset`.
    ///
    /// # Errors
    /// What kept it from doing so; the call that streams fails with it.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// Integers that lie elsewhere, as floats.
#[derive(Debug)]
pub(crate) struct FloatPages {
    pages: Arc<dyn Pages>,
    from: Dtype,
    to: Dtype,
    /// Elements of the tensor.
    len: u64,
}

impl FloatPages {
    pub fn new(pages: Arc<dyn Pages>, view: &View, to: Dtype) -> Self {
        Self {
            pages,
            from: view.dtype,
            to,
            len: view.len(),
        }
    }
}

impl Pages for FloatPages {
    /// Windows may begin and end within an element, and reach behind the last one to a whole word.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let size = self.to.bytes();
        let first = (offset / size).min(self.len);
        let end = (offset + out.len() as u64).div_ceil(size).min(self.len);
        let count = (end - first) as usize;
        let mut bytes = vec![0; count * self.from.bytes() as usize];
        self.pages.read_at(first * self.from.bytes(), &mut bytes)?;
        let mut floats = vec![0; (count * size as usize).max(out.len() + size as usize)];
        convert(self.from, &bytes, self.to, &mut floats);
        let ahead = (offset - first * size) as usize;
        out.copy_from_slice(&floats[ahead..ahead + out.len()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl Pages for Bytes {
        fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            out.copy_from_slice(&self.0[offset as usize..][..out.len()]);
            Ok(())
        }
    }

    #[test]
    fn windows_of_integers_are_windows_of_floats() {
        let numbers: Vec<i64> = vec![3, -1, 1 << 24, (1 << 24) + 1, -(1 << 40)];
        let pages = Arc::new(Bytes(bytemuck::cast_slice(&numbers).to_vec()));
        let view = View::contiguous(Dtype::I64, &[5]);
        for to in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let floats = FloatPages::new(pages.clone(), &view, to);
            let mut whole = vec![0; 5 * to.bytes() as usize];
            convert(Dtype::I64, &pages.0, to, &mut whole);
            whole.resize(whole.len().next_multiple_of(4), 0);
            for begin in 0..whole.len() {
                for end in begin..=whole.len() {
                    let mut out = vec![0xee; end - begin];
                    floats.read_at(begin as u64, &mut out).unwrap();
                    assert_eq!(out, whole[begin..end], "{to} {begin} to {end}");
                }
            }
        }
        let mut all = [0; 20];
        convert(Dtype::I64, &pages.0, Dtype::F32, &mut all);
        assert_eq!(
            bytemuck::pod_collect_to_vec::<u8, f32>(&all),
            [3.0, -1.0, 16777216.0, 16777216.0, -(2f32.powi(40))]
        );
    }
}
