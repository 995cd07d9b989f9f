//! How the lanes of a row or a tile merge their states: one tree, from register to register where they are of one subgroup, through
//! workgroup memory elsewhere, to the same bits.

use super::spread::Spread;
use crate::limits::Limits;
use crate::shader::{Const, Piece, piece, pieces};

/// What the tree of a spread adds to a variant.
pub struct Tree {
    pub pieces: Vec<Piece>,
    pub consts: Vec<Const>,
    /// The spread, in the pipeline's label: `lane8`, `group256`, `subgroup32of256`.
    pub name: String,
}

/// The piece that reads another lane's state, beside the one that defines it.
const SHUFFLES: [(&str, Piece); 10] = [
    ("monoid/softmax.wgsl", piece!("shuffle/softmax.wgsl")),
    ("monoid/softmax_dot.wgsl", piece!("shuffle/softmax_dot.wgsl")),
    ("monoid/sum.wgsl", piece!("shuffle/sum.wgsl")),
    ("monoid/extreme.wgsl", piece!("shuffle/extreme.wgsl")),
    ("monoid/extreme_value.wgsl", piece!("shuffle/extreme_value.wgsl")),
    ("monoid/count.wgsl", piece!("shuffle/count.wgsl")),
    ("monoid/margin.wgsl", piece!("shuffle/margin.wgsl")),
    ("monoid/nothing.wgsl", piece!("shuffle/nothing.wgsl")),
    ("loss/cosine_embedding.wgsl", piece!("shuffle/cosine_embedding.wgsl")),
    ("loss/triplet_margin.wgsl", piece!("shuffle/triplet_margin.wgsl")),
];

impl Tree {
    /// That of the tiles of the elementwise and reduce drivers, one to a workgroup.
    pub fn of_tile(width: u32, state: &[Piece], limits: &Limits) -> Self {
        let mut tree = Self::of(Spread::new(width, width), state, limits, false);
        tree.consts.push(Const::U32("LANES", width));
        tree
    }

    /// That of a spread, for the state that one of some pieces defines. Where the gradient goes over the input, it takes the
    /// way through memory, whose barrier parts the reads of a workgroup from its writes.
    pub fn of(spread: Spread, state: &[Piece], limits: &Limits, in_place: bool) -> Self {
        let Spread { width, lanes, .. } = spread;
        if lanes == 1 {
            return Self {
                pieces: vec![pieces::TREE_LANE],
                consts: Vec::new(),
                name: format!("lane{width}"),
            };
        }
        let shuffle = SHUFFLES.iter().find(|(own, _)| state.iter().any(|p| p.path == *own));
        let shuffle = shuffle.filter(|_| limits.subgroup.is_multiple_of(lanes) && !in_place);
        let (pieces, consts, kind) = match shuffle {
            Some((_, shuffle)) => (
                vec![piece!("piece/tree_subgroup.wgsl"), *shuffle],
                vec![Const::U32("SUBGROUP", limits.subgroup)],
                "subgroup",
            ),
            None => (vec![pieces::TREE_WORKGROUP], Vec::new(), "group"),
        };
        let name = match lanes == width {
            true => format!("{kind}{lanes}"),
            false => format!("{kind}{lanes}of{width}"),
        };
        Self { pieces, consts, name }
    }
}

/// How a workgroup adds up what its rows' leading lanes have: the piece, and its mark in the pipeline's label.
pub fn tile_sum(spread: Spread, limits: &Limits) -> (Piece, &'static str) {
    let Spread { width, lanes, .. } = spread;
    if lanes == width {
        (piece!("piece/tile_sum_lane.wgsl"), "")
    } else if limits.subgroup == width {
        (piece!("shuffle/tile_sum.wgsl"), "_shuffled")
    } else {
        (piece!("piece/tile_sum_workgroup.wgsl"), "")
    }
}

/// How a workgroup joins what its lanes have found, likewise. (A width of 1 says nothing of subgroups: the limit is 1 where
/// lanes may not read each other's registers.)
pub fn tile_fault(width: u32, limits: &Limits) -> (Piece, &'static str) {
    if width > 1 && limits.subgroup == width {
        (piece!("shuffle/tile_fault.wgsl"), "_shuffled")
    } else {
        (piece!("piece/tile_fault_workgroup.wgsl"), "")
    }
}
