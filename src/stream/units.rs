//! A plan taken apart into units: what is brought to the device, the steps, what is taken away.

use super::flight::{IN_ARENA, OUT_ARENA};
use crate::error::{Error, Result};
use crate::limits::{COARSEST_ALIGNMENT, Limits};
use crate::plan::{BufferCopy, Origin, Plan, Step};
use crate::words::Role;

/// Bytes between a tensor that lies elsewhere and an arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Transfer {
    pub role: Role,
    /// Where they begin in the tensor.
    pub offset: u64,
    /// Where they begin in the arena.
    pub at: u64,
    pub size: u64,
}

/// Steps with one set of windows.
#[derive(Debug, Default)]
pub(super) struct Unit {
    pub uploads: Vec<Transfer>,
    /// Of the arena that holds the uploads.
    pub upload_bytes: u64,
    pub steps: Vec<Step>,
    pub downloads: Vec<Transfer>,
    pub download_bytes: u64,
}

impl Unit {
    /// Bytes that come and go.
    pub fn moved(&self) -> u64 {
        self.uploads.iter().chain(&self.downloads).map(|own| own.size).sum()
    }

    pub fn dispatches(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Dispatch(_)))
    }

    /// How the results of the next step lie beside those of this unit.
    fn beside(&self, step: &Step, paged: &dyn Fn(Origin) -> Option<Role>) -> Beside {
        let Step::Dispatch(dispatch) = step else {
            return Beside::Apart; // copies move what is theirs alone
        };
        let mut beside = Beside::Apart;
        for own in dispatch.bindings.iter().filter(|own| own.written) {
            let Some(role) = paged(own.source) else { continue };
            let overlaps =
                |old: &&Transfer| old.role == role && old.offset < own.own.1 && own.own.0 < old.offset + old.size;
            for old in self.downloads.iter().filter(overlaps) {
                if (old.offset, old.offset + old.size) != own.own {
                    return Beside::Overlapping;
                }
                beside = Beside::Together;
            }
        }
        beside
    }

    /// Makes room for a window of an arena, unless it has it already. `own`: the tensor's bytes in it that are moved.
    fn place(&mut self, role: Role, written: bool, window: (u64, u64), own: (u64, u64), step: u64) -> (Origin, u64) {
        let (list, bytes, arena) = if written {
            (&mut self.downloads, &mut self.download_bytes, OUT_ARENA)
        } else {
            (&mut self.uploads, &mut self.upload_bytes, IN_ARENA)
        };
        let (ahead, size) = (own.0 - window.0, own.1 - own.0);
        let is_same = |old: &&Transfer| (old.role, old.offset, old.size) == (role, own.0, size);
        if let Some(old) = list.iter().find(is_same) {
            return (arena, old.at - ahead);
        }
        let at = bytes.next_multiple_of(step);
        *bytes = at + window.1.next_multiple_of(16).max(32);
        list.push(Transfer {
            role,
            offset: own.0,
            at: at + ahead,
            size,
        });
        (arena, at)
    }
}

/// How a dispatch's results lie beside those of the unit before it.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    /// Apart: they go elsewhere by themselves.
    Apart,
    /// In the same windows, of which it writes other rows: they have to go together.
    Together,
    /// In windows that overlap, the end of one slab and more.
    Overlapping,
}

/// The units of a plan. A unit ends before the next step that needs windows of its own; dispatches that write rows of
/// one slab are one unit, for their windows are the slab.
///
/// # Errors
/// Of a plan whose dispatches write parts of slabs and on into the next.
pub(super) fn units(plan: &Plan, limits: &Limits, is_paged: &dyn Fn(Role) -> bool) -> Result<Vec<Unit>> {
    let paged = |source| match source {
        Origin::Tensor(role) if is_paged(role) => Some(role),
        _ => None,
    };
    let align = limits.offset_alignment.max(COARSEST_ALIGNMENT);
    let arena = |source| match source {
        // The arenas are the scratch behind that of the plan.
        IN_ARENA => Origin::Scratch(plan.scratch.len()),
        OUT_ARENA => Origin::Scratch(plan.scratch.len() + 1),
        other => other,
    };
    let mut list = Vec::new();
    let mut unit = Unit::default();
    for step in &plan.steps {
        let begins = match step {
            Step::Dispatch(dispatch) => dispatch.bindings.iter().any(|own| paged(own.source).is_some()),
            Step::Copy(copy) => paged(copy.from).is_some(),
        };
        if begins && unit.dispatches() {
            match unit.beside(step, &paged) {
                Beside::Apart => list.push(std::mem::take(&mut unit)),
                Beside::Together => {}
                Beside::Overlapping => {
                    return Err(Error::Limit(format!(
                        "results with the input's shape that go elsewhere are cut between indices of dimension 0; workgroups of rows \
                         reach from one into the next here, and as many of them as come out even touch more than the {} bytes of a part",
                        limits.max_dispatch_bytes
                    )));
                }
            }
        }
        let step = match step {
            Step::Dispatch(dispatch) => {
                let mut dispatch = dispatch.clone();
                for binding in &mut dispatch.bindings {
                    if let Some(role) = paged(binding.source) {
                        let window = (binding.offset, binding.size);
                        let (source, at) = unit.place(role, binding.written, window, binding.own, align);
                        (binding.source, binding.offset) = (arena(source), at);
                    }
                }
                Step::Dispatch(dispatch)
            }
            Step::Copy(copy) => {
                let mut copy: BufferCopy = *copy;
                if let Some(role) = paged(copy.from) {
                    let own = (copy.from_offset, copy.from_offset + copy.size);
                    let (source, at) = unit.place(role, false, (copy.from_offset, copy.size), own, 16);
                    (copy.from, copy.from_offset) = (arena(source), at);
                }
                if let Some(role) = paged(copy.to) {
                    let own = (copy.to_offset, copy.to_offset + copy.size);
                    let (source, at) = unit.place(role, true, (copy.to_offset, copy.size), own, 16);
                    (copy.to, copy.to_offset) = (arena(source), at);
                }
                Step::Copy(copy)
            }
        };
        unit.steps.push(step);
    }
    if !unit.steps.is_empty() {
        list.push(unit);
    }
    Ok(list)
}
