//! Tensors that lie elsewhere, such as in files: read and written window by window.

use std::fmt::Debug;
use std::io;

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
