//! Rows of a slab larger than a binding: gathered into scratch by copies, and what is written scattered back.

use super::{Chunk, RowsPlanner};
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::plan::{BufferCopy, Plan, Step};

impl RowsPlanner<'_> {
    /// Copies the chunk's rows of every operand into scratch, runs it there, and copies the outputs back.
    pub(super) fn add_gathered(&mut self, plan: &mut Plan, chunk: Chunk) -> Result<()> {
        let (first, end) = self.run(chunk);
        let elements = self.rows.cols as u64 * (end - first);
        if elements > self.gather_elements {
            self.gather_elements = elements;
            self.gathers.clear();
            for full in self.full() {
                let scratch = plan.add_scratch(elements * full.view.dtype.bytes());
                self.gathers.push((full.slot, scratch));
            }
        }
        let before = self.copies(chunk, false)?;
        plan.steps.extend(before);
        self.add_dispatch(plan, chunk);
        plan.steps.extend(self.copies(chunk, true)?);
        Ok(())
    }

    /// The copies of a chunk's rows between tensors and scratch: to scratch, or back.
    fn copies(&self, chunk: Chunk, back: bool) -> Result<Vec<Step>> {
        let (first, end) = self.run(chunk);
        let inner = self.rows.inner as u64;
        let mut list = Vec::new();
        for full in self.full() {
            let reads = !full.written || full.slot == Slot::Input || self.problem.accumulates;
            let Some(scratch) = self
                .gathered(full.slot)
                .filter(|_| if back { full.written } else { reads })
            else {
                continue;
            };
            let bytes = full.view.dtype.bytes();
            for class in 0..self.rows.cols as u64 {
                let element = first / inner * self.stride(&full.view) as u64 + class * inner + first % inner;
                let at = full.view.offset + bytes * element;
                let (packed, size) = (bytes * class * (end - first), bytes * (end - first));
                if [at, packed, size].iter().any(|x| !x.is_multiple_of(4)) {
                    return Err(Error::Limit(format!(
                        "a slab of {:?} {} does not fit into a binding of {} bytes, and its rows do not lie on whole words, \
                         as copies need",
                        self.problem.input().shape,
                        full.view.dtype,
                        self.limits.max_binding_bytes
                    )));
                }
                let copy = |from, from_offset, to, to_offset| BufferCopy {
                    from,
                    from_offset,
                    to,
                    to_offset,
                    size,
                };
                list.push(Step::Copy(if back {
                    copy(scratch, packed, full.source, at)
                } else {
                    copy(full.source, at, scratch, packed)
                }));
            }
        }
        Ok(list)
    }
}
