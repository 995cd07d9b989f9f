//! Passes over tiles from one run of items to one of words: one dispatch, or as many as the limits ask for.

use crate::error::{Error, Result};
use crate::layout::{ReduceParams, Slot};
use crate::limits::Limits;
use crate::plan::window::{Window, base_of, bindings, fit};
use crate::plan::{Dispatch, Origin, Plan, Step, furthest, grid};
use crate::shader::{Const, Piece, Variant, piece, pieces};

pub(super) struct Pass {
    pub label: String,
    /// But for the params.
    pub pieces: Vec<Piece>,
    /// But for those of the workgroup and its tile.
    pub consts: Vec<Const>,
    pub width: u32,
    pub tile: u32,
    pub iterations: u64,
    /// Items, all in whole words, and the bytes of one.
    pub from: (Slot, Origin, u64),
    pub len: u64,
    /// A word for each item, or for each tile, from a byte of the memory on.
    pub into: (Slot, (Origin, u64), Per),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Per {
    Item,
    Tile,
}

impl Pass {
    pub fn add(self, plan: &mut Plan, limits: &Limits) -> Result<()> {
        let tile = u64::from(self.tile);
        let (from_slot, from, bytes) = self.from;
        let (into_slot, (into, origin), per) = self.into;
        // Nothing has a sum, too.
        let tiles = self.len.div_ceil(tile).max(u64::from(per == Per::Tile));
        let variant = Variant {
            shared: Vec::new(),
            label: format!("{}/group{}/tile{tile}", self.label, self.width),
            consts: [Const::U32("WIDTH", self.width), Const::U32("TILE", self.tile)]
                .into_iter()
                .chain(self.consts)
                .collect(),
            pieces: self
                .pieces
                .into_iter()
                .chain([piece!("params/reduce.wgsl"), pieces::PARAMS])
                .collect(),
        };
        let mut first = 0;
        while first < tiles {
            let windows = |end: u64| {
                let items = (first * tile, self.len.min(end * tile));
                let out = if per == Per::Item { items } else { (first, end) };
                [
                    (from_slot, false, Window::scratch(from, bytes, items.0, items.1)),
                    (
                        into_slot,
                        true,
                        Window {
                            origin,
                            ..Window::scratch(into, 4, out.0, out.1)
                        },
                    ),
                ]
            };
            let end = furthest(first, tiles, |end| fit(&windows(end), end - first, limits))
                .ok_or_else(|| Error::Limit(format!("{}: a tile does not fit into one binding", self.label)))?;
            let (groups, windows) = (grid(end - first, limits), windows(end));
            let params = ReduceParams {
                first_tile: first as u32,
                end_tile: end as u32,
                groups_x: groups[0],
                len: self.len as u32,
                first_item: (first * tile) as u32,
                base: base_of(&windows, from_slot, limits) * (bytes / 4) as u32,
                states_base: base_of(&windows, into_slot, limits),
                ..Default::default()
            };
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: variant.clone(),
                params: bytemuck::bytes_of(&params).to_vec(),
                bindings: bindings(&windows, limits),
                groups,
                iterations: self.iterations,
                tiles: (first, end),
                multiply_adds: 0,
            })));
            first = end;
        }
        Ok(())
    }
}
