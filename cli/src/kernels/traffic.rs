//! The bytes that the steps of a plan read and write.

use wgloss::layout::Slot;
use wgloss::plan::{Dispatch, Work};

use super::compile::Compiled;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    pub read: u64,
    pub written: u64,
}

impl std::ops::AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
    }
}

/// What a dispatch reads and writes: of each tensor, the elements of its run once, or twice where its rows are read
/// twice. An operand that broadcasts counts once, with the elements that it has: they are few, and caches hold them. So
/// do the weights of classes, which each row asks for by its label, and whatever a loss looks at again while it goes
/// through a row. Of rows of which only the label's column is looked at, one element each counts.
pub fn of(dispatch: &Dispatch, work: &Work, compiled: &Compiled) -> Bytes {
    let elements = |own: &wgloss::plan::Binding| (own.touched - own.moved) / own.element.max(1);
    let input = dispatch.bindings.iter().find(|own| own.slot == Slot::Input);
    let whole = input.map_or(0, elements);
    let mut sum = Bytes::default();
    for own in &dispatch.bindings {
        let (is_read, is_written) = compiled.uses(own.slot);
        let (bytes, count) = (own.touched - own.moved, elements(own));
        // Of the operands that have all columns of each row.
        let has_rows = count == whole && work.cols.is_some_and(|cols| cols > 1);
        let read = match work.readings {
            Some(0) if own.slot == Slot::Input => bytes / work.cols.unwrap_or(1).max(1),
            Some(times) if has_rows => bytes * u64::from(times.max(1)),
            _ => bytes,
        };
        sum += Bytes {
            read: if is_read { read } else { 0 },
            written: if is_written { bytes } else { 0 },
        };
        // What is brought together from several buffers, or taken back there, is read and written once more.
        sum += Bytes {
            read: own.moved,
            written: own.moved,
        };
    }
    sum
}
