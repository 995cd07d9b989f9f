//! How the lanes of a row or a tile merge their states: one tree, from register to register where they are of one
//! subgroup, through workgroup memory elsewhere, to the same bits.

use super::spread::Spread;
use crate::limits::Limits;
use crate::shader::{Const, Piece, piece};

/// What the tree of a spread adds to a variant.
pub struct Tree {
    pub pieces: Vec<Piece>,
    pub consts: Vec<Const>,
    /// The spread, in the pipeline's label: `lane8`, `group256`, `subgroup32of256`.
    pub name: String,
}

/// What merges where there is one lane, and what others take the place of.
const ALONE: Piece = piece!("lanes/tree.wgsl");

impl Tree {
    /// That of the tiles of the elementwise and reduce drivers, one to a workgroup.
    pub fn of_tile(width: u32, limits: &Limits) -> Self {
        let mut tree = Self::of(Spread::new(width, width), limits, false);
        tree.consts.push(Const::U32("LANES", width));
        tree
    }

    /// That of a spread. Where the gradient goes over the input, it takes the
    /// way through memory, whose barrier parts the reads of a workgroup from its writes.
    pub fn of(spread: Spread, limits: &Limits, in_place: bool) -> Self {
        let Spread { width, lanes, .. } = spread;
        if lanes == 1 {
            return Self {
                pieces: vec![ALONE],
                consts: Vec::new(),
                name: format!("lane{width}"),
            };
        }
        let (piece, consts, kind) = if limits.subgroup.is_multiple_of(lanes) && !in_place {
            let consts = vec![Const::U32("SUBGROUP", limits.subgroup)];
            (piece!("lanes/tree_subgroup.wgsl"), consts, "subgroup")
        } else {
            (piece!("lanes/tree_workgroup.wgsl"), Vec::new(), "group")
        };
        let name = match lanes == width {
            true => format!("{kind}{lanes}"),
            false => format!("{kind}{lanes}of{width}"),
        };
        Self {
            pieces: vec![ALONE, piece],
            consts,
            name,
        }
    }
}

/// How a workgroup adds up what its rows' leading lanes have: the piece, where one lane leads none, and its mark in the
/// pipeline's label.
pub fn tile_sum(spread: Spread, limits: &Limits) -> (Option<Piece>, &'static str) {
    let Spread { width, lanes, .. } = spread;
    if lanes == width {
        (None, "")
    } else if limits.subgroup == width {
        (Some(piece!("lanes/sum_subgroup.wgsl")), "_shuffled")
    } else {
        (Some(piece!("lanes/sum_workgroup.wgsl")), "")
    }
}

/// How a workgroup joins what its lanes have found, likewise. (A width of 1 says nothing of subgroups: the limit is 1
/// where lanes may not read each other's registers.)
pub fn tile_fault(width: u32, limits: &Limits) -> (Piece, &'static str) {
    if width > 1 && limits.subgroup == width {
        (piece!("lanes/fault_subgroup.wgsl"), "_shuffled")
    } else {
        (piece!("lanes/fault_workgroup.wgsl"), "")
    }
}
