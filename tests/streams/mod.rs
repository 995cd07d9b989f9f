//! Streams: tensors that lie elsewhere give the bits of the call in memory, within the memory that was stated.

mod batches;
mod beyond;
mod memory;
mod same;
mod stops;
