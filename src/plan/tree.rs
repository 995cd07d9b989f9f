//! How the lanes of a row or a tile merge their states: one tree, from register to register where they are of one
//! subgroup or of several whole ones, through workgroup memory elsewhere, to the same bits.

use super::spread::Spread;
use crate::limits::{LOCKSTEP, Limits};
use crate::shader::{Const, Piece, piece};
use crate::tuning::Tuning;

/// What the tree of a spread adds to a variant.
pub struct Tree {
    pub pieces: Vec<Piece>,
    pub consts: Vec<Const>,
    /// The spread, in the pipeline's label: `lane8`, `group256`, `subgroup32of256`, `subgroups1024`.
    pub name: String,
    /// From register to register.
    pub shuffles: bool,
}

/// What merges where there is one lane, and what others take the place of.
const ALONE: Piece = piece!("lanes/tree.wgsl");

impl Tree {
    /// That of the tiles of the elementwise and reduce drivers, one to a workgroup.
    pub fn of_tile(tuning: &Tuning, limits: &Limits) -> Self {
        let mut tree = Self::of(Spread::new(tuning.width, tuning.width), tuning, limits, false);
        tree.consts.push(Const::U32("LANES", tuning.width));
        tree
    }

    /// That of a spread; `in_place`: the gradient goes over the input, so a workgroup reads all of it before it writes.
    pub fn of(spread: Spread, tuning: &Tuning, limits: &Limits, in_place: bool) -> Self {
        let Spread { width, lanes, .. } = spread;
        if lanes == 1 {
            return Self {
                pieces: vec![ALONE],
                consts: Vec::new(),
                name: format!("lane{width}"),
                shuffles: false,
            };
        }
        // The lanes that merge first are those of a subgroup of the class, whatever the adapter's own are.
        let group = lanes.min(tuning.subgroup.max(2));
        let groups = lanes / group;
        let is_lockstep = limits.subgroup <= LOCKSTEP;
        let mut consts = vec![Const::Bool("OVER_INPUT", in_place), Const::U32("GROUP", group)];
        // Without a barrier nothing would part a workgroup's reads from its writes.
        let shuffles = limits.subgroup.is_multiple_of(group) && !(is_lockstep && in_place) && groups <= group;
        let mut pieces = vec![ALONE];
        let kind = if !shuffles {
            pieces.push(piece!("lanes/tree_workgroup.wgsl"));
            "group"
        } else if is_lockstep && groups == 1 {
            pieces.push(piece!("lanes/tree_subgroup.wgsl"));
            consts.push(Const::U32("SUBGROUP", limits.subgroup));
            "subgroup"
        } else {
            pieces.extend([piece!("lanes/tree_subgroups.wgsl"), piece!("lanes/meet.wgsl")]);
            consts.extend([
                Const::Bool("MEETS", !is_lockstep),
                Const::Bool("JOINS", groups > 1),
                Const::U32("LEVELS", group.ilog2()),
                Const::U32("GROUP_LEVELS", groups.ilog2()),
            ]);
            if groups == 1 { "subgroup" } else { "subgroups" }
        };
        let name = match lanes == width {
            true => format!("{kind}{lanes}"),
            false => format!("{kind}{lanes}of{width}"),
        };
        Self {
            pieces,
            consts,
            name,
            shuffles,
        }
    }
}

/// How a workgroup adds up what its rows' leading lanes have: the piece, where one lane leads none, and its mark in the
/// pipeline's label. From register to register only in lockstep, without a barrier.
pub fn tile_sum(spread: Spread, limits: &Limits) -> (Option<Piece>, &'static str) {
    let Spread { width, lanes, .. } = spread;
    if lanes == width {
        (None, "")
    } else if limits.subgroup == width && width <= LOCKSTEP {
        (Some(piece!("lanes/sum_subgroup.wgsl")), "_shuffled")
    } else {
        (Some(piece!("lanes/sum_workgroup.wgsl")), "")
    }
}

/// How a workgroup joins what its lanes have found, likewise. (A width of 1 says nothing of subgroups: the limit is 1
/// where lanes may not read each other's registers.)
pub fn tile_fault(width: u32, limits: &Limits) -> (Piece, &'static str) {
    if (2..=LOCKSTEP).contains(&width) && limits.subgroup == width {
        (piece!("lanes/fault_subgroup.wgsl"), "_shuffled")
    } else {
        (piece!("lanes/fault_workgroup.wgsl"), "")
    }
}
