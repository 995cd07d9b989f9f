//! Tensors of one call in one buffer, as pooling allocators cut them: the same bits as in buffers of their own,
//! wherever they begin, and no byte of a neighbour changes.

mod losses;
mod moves;
mod optimizers;
mod pool;
mod refusals;
