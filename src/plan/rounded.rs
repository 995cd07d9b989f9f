//! Rows of f32 in scratch as rows of a result's dtype.

use super::product::Ordered;
use super::window::{Window, base_of, bindings, fit_together};
use super::{Dispatch, Origin, Plan, Step, furthest, grid};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{RoundedParams, Slot};
use crate::limits::Limits;
use crate::shader::pieces::Put;
use crate::shader::{Const, Variant, piece, pieces};
use crate::tuning::Tuning;

/// Rows, and where they go.
pub struct Rounded {
    pub from: Origin,
    /// Elements from row to row: whole quads.
    pub from_stride: u64,
    pub rows: u64,
    pub cols: u64,
    pub into: Origin,
    /// Bytes before the first element.
    pub offset: u64,
    pub stride: u64,
    pub dtype: Dtype,
    pub put: Put,
    /// The order that the rows are in.
    pub ordered: Option<Ordered>,
}

impl Rounded {
    pub fn add(&self, plan: &mut Plan, limits: &Limits, tuning: &Tuning) -> Result<()> {
        let row_tiles = self.cols.div_ceil(4 * u64::from(tuning.width));
        let mut first = 0;
        while first < self.rows && self.cols > 0 {
            let windows = |end: u64| {
                // Rows in an order go anywhere.
                let rows = self.ordered.map_or((first, end), |own| own.order.inputs);
                let from = (
                    first * self.from_stride,
                    (end - 1) * self.from_stride + self.from_stride,
                );
                let into = Window {
                    origin: self.offset,
                    ..Window::scratch(
                        self.into,
                        self.dtype.bytes(),
                        rows.0 * self.stride,
                        (rows.1 - 1) * self.stride + self.cols,
                    )
                };
                let mut list = vec![
                    (Slot::Input, false, Window::scratch(self.from, 4, from.0, from.1)),
                    (Slot::GradInput, true, into.touching((end - first) * self.cols)),
                ];
                list.extend(self.ordered.map(|own| (Slot::Order, false, own.order.window())));
                list
            };
            let end = furthest(first, self.rows, |end| {
                // The least is a row, which may lie over the end of a buffer.
                let tiles = if end == first + 1 { 1 } else { (end - first) * row_tiles };
                fit_together(&windows(end), tiles, limits)
            })
            .ok_or_else(|| Error::Limit(format!("a row of {} features does not fit into one binding", self.cols)))?;
            let (windows, tiles) = (windows(end), (end - first) * row_tiles);
            let groups = grid(tiles, limits);
            let ahead = self.ordered.map_or(0, |own| own.order.inputs.0 * self.stride);
            let params = RoundedParams {
                end_tile: tiles as u32,
                groups_x: groups[0],
                row_tiles: row_tiles as u32,
                cols: self.cols as u32,
                from_base: base_of(&windows, Slot::Input, limits),
                from_stride: self.from_stride as u32,
                into_base: base_of(&windows, Slot::GradInput, limits).wrapping_sub(ahead as u32),
                into_stride: self.stride as u32,
                first_place: self.ordered.map_or(0, |own| own.first + first) as u32,
                ..Default::default()
            };
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: self.variant(limits, tuning),
                params: bytemuck::bytes_of(&params).to_vec(),
                bindings: bindings(&windows, limits),
                groups,
                iterations: 0,
                tiles: (0, tiles),
                multiply_adds: 0,
            })));
            first = end;
        }
        Ok(())
    }

    fn variant(&self, limits: &Limits, tuning: &Tuning) -> Variant {
        let quad = 4 * self.dtype.bytes();
        let quads = self.cols.is_multiple_of(4)
            && self.stride.is_multiple_of(4)
            && self.offset.is_multiple_of(quad)
            && limits.offset_alignment.is_multiple_of(quad);
        let mut list = vec![
            piece!("driver/rounded.wgsl"),
            pieces::PARAMS,
            pieces::read(Slot::Input, Dtype::F32, true),
            pieces::write(Slot::GradInput, self.dtype, quads, self.put),
        ];
        list.extend(pieces::half([self.dtype], limits));
        list.extend(self.ordered.into_iter().flat_map(|_| Ordered::rows_pieces()));
        let marks = [
            (quads, "/x4"),
            (self.put == Put::Add, "/add"),
            (self.ordered.is_some(), "/ordered"),
        ];
        let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
        Variant {
            shared: Vec::new(),
            label: format!("rounded/{}{marks}/group{}", self.dtype, tuning.width),
            consts: vec![Const::U32("WIDTH", tuning.width)],
            pieces: list,
        }
    }
}
