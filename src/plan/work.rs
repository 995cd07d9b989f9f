//! What a plan asks of a device, in the numbers that people are told: how rows are spread over lanes, how often they
//! are read, and the bytes that its steps touch.

use bytemuck::pod_read_unaligned;

use crate::layout::{PairParams, RowParams, Slot};
use crate::plan::{Dispatch, Plan, Step};
use crate::problem::{Operand, Problem, Rows};
use crate::shader::Const;
use crate::update::Update;
use crate::view::View;
use crate::words::{Mode, Role};

/// The share of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Rows, one after the other or side by side.
    Rows(u64),
    /// Columns of a tile of a wide row.
    Columns(u64),
    /// The states of a wide row's tiles.
    States(u64),
    /// Elements, labels or states of a tile.
    Elements(u64),
}

/// How the shader of a dispatch goes through its tiles, as its constants and params say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Lanes that share a row, in a shader that goes by rows.
    pub lanes: Option<u32>,
    pub takes: Takes,
    /// Columns of a row, likewise.
    pub cols: Option<u64>,
    /// How often each row is read from its first column to its last: 0 where only the label's column is looked at.
    pub readings: Option<u32>,
}

impl Dispatch {
    /// The share of a lane, and how often rows are read.
    #[must_use]
    pub fn work(&self) -> Work {
        let number = |name| self.number(name).unwrap_or(1);
        let tile = u64::from(number("TILE") / number("WIDTH").max(1));
        let Some(rows_per_tile) = self.number("ROWS") else {
            return Work {
                lanes: None,
                takes: Takes::Elements(tile.max(1)),
                cols: None,
                readings: None,
            };
        };
        let is_wide = self.number("TILE").is_some();
        let lanes = number("LANES");
        let binds = |slot, written| {
            let mut all = self.bindings.iter();
            all.any(|own| own.slot == slot && own.written == written)
        };
        let (takes, readings) = match is_wide {
            false => {
                let rows = u64::from(rows_per_tile * lanes) / u64::from(number("WIDTH").max(1));
                (Takes::Rows(rows), self.readings())
            }
            // The passes over wide rows, by what they leave behind: of the first, a workgroup is one lane that looks at
            // the label.
            true if binds(Slot::Rows, true) => (Takes::Rows(1), 0),
            true if binds(Slot::StatesIn, false) => (Takes::States(self.states_of_a_lane()), 0),
            true => (Takes::Columns(u64::from(number("TILE") / lanes)), 1),
        };
        Work {
            lanes: Some(if binds(Slot::Rows, true) { 1 } else { lanes }),
            takes,
            cols: self.cols(),
            readings: Some(readings),
        }
    }

    /// Rows are read for their statistics, and once more for what is written of them, unless their lanes hold them in
    /// registers, as packs or quad by quad, or in workgroup memory.
    fn readings(&self) -> u32 {
        let Some(reads) = self.flag("READS_ROWS") else {
            // Pairs of rows.
            let gradients = ["WANTS_GRAD_A", "WANTS_GRAD_B", "WANTS_GRAD_C"];
            return 1 + u32::from(gradients.iter().any(|name| self.flag(name) == Some(true)));
        };
        let is_strip = self.number("STRIP").is_some();
        let is_pack = self.number("PACK").is_some() && !is_strip;
        let is_held = is_pack || ["HELD", "STAGED"].iter().any(|name| self.number(name).is_some());
        match (reads, self.flag("WRITES_ROWS") == Some(true) && !is_held) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        }
    }

    fn cols(&self) -> Option<u64> {
        let params = self.params.as_slice();
        let cols = match params.len() {
            n if n == size_of::<RowParams>() => pod_read_unaligned::<RowParams>(params).cols,
            n if n == size_of::<PairParams>() => pod_read_unaligned::<PairParams>(params).cols,
            _ => return None,
        };
        Some(u64::from(cols))
    }

    /// Of the tiles of a wide row.
    fn states_of_a_lane(&self) -> u64 {
        let tile = u64::from(self.number("TILE").unwrap_or(1));
        let lanes = u64::from(self.number("LANES").unwrap_or(1));
        self.cols().unwrap_or(0).div_ceil(tile).div_ceil(lanes)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.variant.consts.iter().find_map(|own| match own {
            Const::U32(own, value) if *own == name => Some(*value),
            _ => None,
        })
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.variant.consts.iter().find_map(|own| match own {
            Const::Bool(own, value) if *own == name => Some(*value),
            _ => None,
        })
    }
}

impl Plan {
    /// The bytes that each step touches. Rows that are read twice count once: the second time a part of them comes
    /// from a cache.
    #[must_use]
    pub fn step_bytes(&self) -> Vec<u64> {
        self.steps.iter().map(Step::bytes).collect()
    }
}

/// Bytes that a call cannot avoid to read or write for one of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub name: String,
    pub read: u64,
    pub written: u64,
}

impl Moved {
    fn of(name: impl Into<String>, view: &View, is_read: bool, is_written: bool) -> Self {
        let bytes = view.len() * view.dtype.bytes();
        Self {
            name: name.into(),
            read: if is_read { bytes } else { 0 },
            written: if is_written { bytes } else { 0 },
        }
    }
}

impl Problem {
    /// The least traffic: every operand read once, every result written once. A gradient that is added to what its
    /// memory holds is read, too.
    #[must_use]
    pub fn least_traffic(&self) -> Vec<Moved> {
        // Some losses look at one class of a row.
        let one_of_each_row = self.traits().reads_one_of_each_row;
        // The gradient of a sum looks at nothing.
        let nothing = self.mode == Mode::Backward && self.rows().is_some_and(Rows::is_sum_of_all);
        let operand = |(nth, own): (usize, &Operand)| match nth == 0 && one_of_each_row {
            true => Moved {
                name: format!("{}, one of each row", own.role.name()),
                read: self.term_count() * own.view.dtype.bytes(),
                written: 0,
            },
            false => Moved::of(own.role.name(), &own.view, !(nth == 0 && nothing), false),
        };
        let mut list: Vec<Moved> = self.operands.iter().enumerate().map(operand).collect();
        let upstream = self.grad_output.as_ref().filter(|_| self.mode.wants_grad());
        list.extend(upstream.map(|view| Moved::of(Role::GradOutput.name(), view, true, false)));
        let of_stats = self.grad_stats.iter();
        list.extend(of_stats.map(|(role, view)| Moved::of(role.name(), view, true, false)));
        for (own, role, view) in self.grads() {
            let adds = self.accumulates && role == Role::Grad(0);
            list.push(Moved::of(format!("grad_{}", own.role.name()), view, adds, true));
        }
        let others = self.results().filter(|(role, _)| !matches!(role, Role::Grad(_)));
        list.extend(others.map(|(role, view)| Moved::of(role.name(), &view, false, true)));
        list
    }
}

impl Update {
    /// The least traffic of a step: parameter and state are read and written over.
    #[must_use]
    pub fn least_traffic(&self) -> Vec<Moved> {
        let mut list = vec![Moved::of(Role::Param.name(), &self.param, true, true)];
        list.extend(
            self.grad
                .iter()
                .map(|view| Moved::of(Role::Grad(0).name(), view, true, false)),
        );
        let states = self.states.iter();
        list.extend(states.map(|(role, view)| Moved::of(role.name(), view, true, true)));
        list
    }
}
