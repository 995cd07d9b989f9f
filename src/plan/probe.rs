//! What a device is asked when it is opened: kernels without operands, each of which leaves two words.

use crate::dtype::Dtype;
use crate::limits::{LOCKSTEP, Limits};
use crate::shader::{Const, Variant, piece, pieces};

/// What a probe finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Subgroups lie in workgroups as trees of lanes take for granted.
    Subgroups,
    /// `unpack2x16float` is exact.
    Unpacks,
    /// `pack2x16float` is.
    Packs,
}

/// A kernel that asks.
#[derive(Clone, Debug)]
pub struct Probe {
    pub question: Question,
    pub variant: Variant,
    pub groups: u32,
    /// Invocations of all workgroups.
    pub invocations: u32,
}

/// Words that each leaves: the invocations that found it otherwise, and all that there were.
pub const PROBE_WORDS: usize = 2;

/// Workgroups of each width: several, so that not the first alone is as it should be.
const GROUPS: u32 = 3;

/// All questions to a device that says it has subgroups of a size, 1 for none. Of the others the limits say how wide
/// workgroups may be.
pub fn probes(limits: &Limits) -> Vec<Probe> {
    let subgroup = limits.subgroup;
    let widest = 1u32 << limits.max_width.max(1).ilog2();
    let mut widths = vec![subgroup, 8];
    widths.extend((5..=widest.ilog2()).map(|n| 1 << n));
    widths.retain(|&width| subgroup > 1 && (subgroup..=widest).contains(&width));
    widths.sort_unstable();
    widths.dedup();
    let mut list: Vec<Probe> = widths
        .into_iter()
        .map(|width| Probe {
            question: Question::Subgroups,
            variant: Variant {
                shared: Vec::new(),
                label: format!("probe/subgroup{subgroup}of{width}"),
                consts: vec![
                    Const::U32("WIDTH", width),
                    Const::U32("SUBGROUP", subgroup),
                    Const::Bool("EXACT", subgroup <= LOCKSTEP),
                ],
                pieces: vec![piece!("probe/subgroup.wgsl")],
            },
            groups: GROUPS,
            invocations: GROUPS * width,
        })
        .collect();
    // The integers that the device's own conversions are compared with.
    let by_integers = Limits {
        unpacks_f16: false,
        packs_f16: false,
        ..*limits
    };
    let conversions = [(Question::Unpacks, false, "unpack"), (Question::Packs, true, "pack")];
    list.extend(conversions.map(|(question, packs, name)| {
        let mut pieces = vec![piece!("probe/half.wgsl")];
        pieces.extend(pieces::half([Dtype::F16], &by_integers));
        Probe {
            question,
            variant: Variant {
                shared: Vec::new(),
                label: format!("probe/{name}"),
                consts: vec![Const::Bool("OF_PACKS", packs)],
                pieces,
            },
            groups: 64,
            invocations: 4096,
        }
    }));
    for (nth, own) in list.iter_mut().enumerate() {
        own.variant.consts.push(Const::U32("AT", (PROBE_WORDS * nth) as u32));
    }
    list
}
