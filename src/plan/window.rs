//! Windows: the part of a tensor that one binding covers.
//!
//! A plan looks for the longest run of tiles whose windows fit: each into a binding, and all together into the budget
//! of a dispatch. The window of an operand begins at the last offset that the device can bind before its first element,
//! so a binding may cover elements that the dispatch leaves alone. Within a slab of an input whose columns are not
//! innermost, the windows of a few rows span the slab; there the budget counts the elements that the rows have, not
//! those between.

use crate::layout::Slot;
use crate::limits::Limits;
use crate::plan::{Binding, Origin, in_one_grid};
use crate::view::View;

/// A run of elements of some memory.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub source: Origin,
    /// Bytes before element 0.
    pub origin: u64,
    pub element_bytes: u64,
    /// Elements first..end, counted from `origin`.
    pub first: u64,
    pub end: u64,
    /// So many of them are read or written: fewer, where rows have gaps between their elements.
    pub touched: u64,
}

impl Window {
    pub fn of(view: &View, source: Origin, first: u64, end: u64) -> Self {
        Self {
            source,
            origin: view.offset,
            element_bytes: view.dtype.bytes(),
            first,
            end,
            touched: end - first,
        }
    }

    /// A run of scratch elements.
    pub fn scratch(source: Origin, element_bytes: u64, first: u64, end: u64) -> Self {
        Self {
            source,
            origin: 0,
            element_bytes,
            first,
            end,
            touched: end - first,
        }
    }

    /// The same window, of which so many elements are read or written.
    pub fn touching(self, touched: u64) -> Self {
        Self { touched, ..self }
    }

    fn has_gaps(&self) -> bool {
        self.touched < self.end - self.first
    }

    pub fn touched_bytes(&self) -> u64 {
        self.touched * self.element_bytes
    }

    /// The last place before the first element that is aligned and whole elements away from it: states have 12 or 20
    /// bytes, which the alignment is no multiple of.
    fn start_bytes(&self, limits: &Limits) -> u64 {
        let start = self.origin + self.first * self.element_bytes;
        let step = limits.offset_alignment / gcd(limits.offset_alignment, self.element_bytes) * self.element_bytes;
        start - start % step
    }

    /// Shaders read whole words.
    fn end_bytes(&self) -> u64 {
        (self.origin + self.end.max(self.first + 1) * self.element_bytes).next_multiple_of(4)
    }

    fn bytes(&self, limits: &Limits) -> u64 {
        self.end_bytes() - self.start_bytes(limits)
    }

    fn fits(&self, limits: &Limits) -> bool {
        self.bytes(limits) <= limits.max_window_bytes()
    }

    /// Reaches from one buffer of a tensor that lies in several into the next.
    fn crosses(&self, limits: &Limits) -> bool {
        self.start_bytes(limits) / limits.span() != (self.end_bytes() - 1) / limits.span()
    }

    /// Where the first element lies in the binding, in elements.
    pub fn base(&self, limits: &Limits) -> u32 {
        ((self.origin + self.first * self.element_bytes - self.start_bytes(limits)) / self.element_bytes) as u32
    }

    pub fn binding(&self, slot: Slot, written: bool, limits: &Limits) -> Binding {
        // A window over the end of a buffer is brought together, and taken back where it is written, all of it.
        let moved = match self.crosses(limits) {
            true => self.bytes(limits) * (1 + u64::from(written)),
            false => 0,
        };
        let offset = self.start_bytes(limits);
        let first = self.origin + self.first * self.element_bytes;
        Binding {
            slot,
            source: self.source,
            offset,
            size: self.end_bytes() - offset,
            own: (first, self.origin + self.end * self.element_bytes),
            touched: self.touched_bytes() + moved,
            moved,
            element: self.element_bytes,
            written,
        }
    }
}

/// The windows of a dispatch: slot, whether the shader writes it, and the memory.
pub type Windows = [Bound];

/// What a shader binds: slot, whether it writes there, and the memory.
pub type Bound = (Slot, bool, Window);

/// Whether one dispatch can take so many tiles with these windows. A single tile is allowed whatever it touches, as
/// long as bindings can cover it.
pub fn fit(windows: &Windows, tiles: u64, limits: &Limits) -> bool {
    let covered: u64 = windows.iter().map(|(_, _, window)| window.bytes(limits)).sum();
    let crosses = windows.iter().any(|(_, _, window)| window.crosses(limits));
    can_be_bound(windows, tiles, limits) && (tiles == 1 || covered <= limits.max_dispatch_bytes && !crosses)
}

/// The same of tiles of one slab, whose windows with gaps are the same for all: fewer tiles would cover no less of
/// them, so what counts is what they touch.
pub fn fit_together(windows: &Windows, tiles: u64, limits: &Limits) -> bool {
    let touched: u64 = windows.iter().map(|(_, _, window)| window.touched_bytes()).sum();
    let crosses = windows
        .iter()
        .any(|(_, _, window)| !window.has_gaps() && window.crosses(limits));
    can_be_bound(windows, tiles, limits) && (tiles == 1 || touched <= limits.max_dispatch_bytes && !crosses)
}

pub fn can_be_bound(windows: &Windows, tiles: u64, limits: &Limits) -> bool {
    in_one_grid(tiles, limits) && windows.iter().all(|(_, _, window)| window.fits(limits))
}

/// The bindings of windows.
pub fn bindings(windows: &Windows, limits: &Limits) -> Vec<Binding> {
    let binding = |(slot, written, window): &(Slot, bool, Window)| window.binding(*slot, *written, limits);
    windows.iter().map(binding).collect()
}

/// Where the window of a slot begins in its binding, in elements; 0 of a slot that is not bound.
pub fn base_of(windows: &Windows, slot: Slot, limits: &Limits) -> u32 {
    let own = windows.iter().find(|(own, ..)| *own == slot);
    own.map_or(0, |(_, _, window)| window.base(limits))
}

pub fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
