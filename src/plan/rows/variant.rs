//! Which pieces make the shader of a chunk.

use super::{Chunk, Full, RowsPlanner};
use crate::dtype::Dtype;
use crate::layout::Slot;
use crate::plan::named;
use crate::plan::spread::{SHORT_COLS, Spread};
use crate::plan::tree::{Tree, tile_sum};
use crate::problem::Targets;
use crate::shader::pieces::Put;
use crate::shader::{Const, Piece, Variant, piece, pieces};

/// How rows go by way of workgroup memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    takes: u32,
    words: u32,
}

impl RowsPlanner<'_> {
    /// Every quad of every row is aligned and whole, wherever a window begins: a property of the tensors, not of the
    /// chunk, so that all chunks run the same code.
    pub(super) fn quads(&self) -> bool {
        self.rows.inner == 1
            && self.rows.cols > 0
            && self.rows.cols.is_multiple_of(4)
            && (self.rows.heads == 1 || self.rows.targets != Targets::Full)
            && self.full().iter().all(|f| {
                f.view.offset.is_multiple_of(4 * f.view.dtype.bytes()) && self.stride(&f.view).is_multiple_of(4)
            })
    }

    /// Rows are folded in blocks of four quads. Where these are read ahead, what is left behind them is less than one.
    pub(super) fn has_blocks(&self) -> bool {
        match self.reads_ahead() {
            true => self.rows.cols >= 16 * self.spread.lanes as usize,
            false => self.rows.cols > self.spread.short_cols(),
        }
    }

    /// Quads that a lane keeps in its registers from the fold to what is written, or till all are there: whole blocks
    /// of four, or one quad more. None where it would have too many.
    fn held(&self) -> Option<u32> {
        let is_held = self.reads_ahead() && self.rows.reads && self.rows.inner_loops == 0 && self.rows.cols > 0;
        let quads = self.rows.cols.div_ceil(4).div_ceil(self.spread.lanes as usize);
        let held = match quads % 4 {
            1 => quads,
            _ => quads.next_multiple_of(4),
        };
        (is_held && held <= self.tuning.held as usize).then_some(held as u32)
    }

    /// Blocks of columns are read before they are needed.
    fn reads_ahead(&self) -> bool {
        self.tuning.block_tails == 1 && self.spread.pack.is_none()
    }

    /// Rows of one lane each that go by way of workgroup memory: what a lane of a GPU would hold, where nothing but the
    /// input, and its gradient, is as long as that. The elements that a lane reads at a time, and the words of memory.
    pub(super) fn staged(&self, chunk: Chunk) -> Option<Staged> {
        let (rows, Spread { width, lanes, .. }) = (self.rows, self.spread);
        let is_alone = lanes == 1 && self.spread.turns == 1 && self.spread.pack.is_none();
        let is_short = self.tuning.held > 0 && (1..=SHORT_COLS).contains(&rows.cols);
        if !is_alone || !is_short || !rows.reads || rows.inner_loops > 0 || rows.is_map() {
            return None;
        }
        let full = self.full();
        let is_near = |full: &Full| rows.inner > 1 || self.stride(&full.view) == rows.cols;
        let is_own = |full: &Full| matches!(full.slot, Slot::Input | Slot::GradInput);
        if !full.iter().all(|full| is_own(full) && is_near(full)) {
            return None;
        }
        let is_even = |full: &Full| {
            let is_across =
                rows.inner == 1 || rows.inner.is_multiple_of(2) && self.stride(&full.view).is_multiple_of(2);
            full.view.dtype.is_half() && full.view.offset.is_multiple_of(4) && is_across
        };
        let takes = if self.quads() && !chunk.gathered {
            4
        } else if full.iter().all(is_even) && !chunk.gathered && width > 1 {
            2
        } else {
            1
        };
        // Steps of eight columns, so that not every number of them is a pipeline of its own.
        let cells = width * rows.cols.next_multiple_of(8) as u32;
        Some(Staged {
            takes,
            words: cells + cells / 32,
        })
    }

    /// The piece that reads an operand, 1 where there is none.
    pub(super) fn read(&self, slot: Slot, full: &[Full], quads: bool) -> Piece {
        match full.iter().find(|full| full.slot == slot) {
            Some(full) if full.written => pieces::over(slot, full.view.dtype, quads),
            Some(full) => pieces::read(slot, full.view.dtype, quads),
            None if slot == Slot::GradOutput => pieces::given(slot, self.upstream_dtype()),
            None => pieces::given(slot, self.problem.view(slot).map(|view| view.dtype)),
        }
    }

    fn upstream_dtype(&self) -> Option<Dtype> {
        let own = self.upstream().map(|view| view.dtype);
        self.upstreams.map(|_| Dtype::F32).or(own)
    }

    /// The pieces that write outputs of the input's shape. `flat`: the gradient of the input goes four at a time;
    /// `writes_each`: another piece writes the losses of rows.
    pub(super) fn writes(&self, full: &[Full], quads: bool, flat: bool, writes_each: bool) -> Vec<Piece> {
        let find = |slot| full.iter().find(|full| full.slot == slot);
        let mut list = Vec::new();
        if !self.problem.in_place {
            let put = if self.problem.accumulates { Put::Add } else { Put::Write };
            list.push(match find(Slot::GradInput) {
                Some(full) => pieces::write(full.slot, full.view.dtype, flat, put),
                None => pieces::absent(Slot::GradInput),
            });
        }
        for slot in [Slot::GradTarget, Slot::Loss] {
            match find(slot) {
                Some(full) => list.push(pieces::write(slot, full.view.dtype, quads, Put::Write)),
                // A row's loss is no output of the input's shape: what becomes of it may write it.
                None if slot == Slot::Loss && writes_each => {}
                None => list.push(pieces::absent(slot)),
            }
        }
        list
    }

    /// The loss of each row is an output.
    fn writes_each(&self) -> bool {
        let is_inside = self.records.is_some() || self.states.is_some();
        !is_inside && self.problem.mode.wants_loss() && !self.rows.is_map() && self.problem.dtype != Dtype::I64
    }

    /// What becomes of a row's loss: the pieces, and their name in the label.
    pub(super) fn losses(&self) -> (Vec<Piece>, String) {
        if self.records.is_some() {
            (vec![piece!("outcome/record.wgsl")], "/record".into())
        } else if !self.problem.mode.wants_loss() || self.rows.is_map() {
            (Vec::new(), String::new())
        } else if self.states.is_some() {
            let (sum, mark) = tile_sum(self.spread, self.limits);
            let mut list = vec![piece!("outcome/tile.wgsl")];
            list.extend(sum);
            list.extend(self.counts.map(|_| piece!("outcome/count.wgsl")));
            let counts = self::mark(self.counts.is_some(), "/counts");
            (list, format!("/tile{mark}{counts}"))
        } else if self.problem.dtype == Dtype::I64 {
            (vec![piece!("outcome/index.wgsl")], "/index".into())
        } else {
            let write = pieces::write(Slot::Loss, self.problem.dtype, false, Put::Write);
            let name = format!("/each_{}", self.problem.dtype);
            (vec![piece!("outcome/each.wgsl"), write], name)
        }
    }

    /// What makes class targets words.
    pub(super) fn labels(&self) -> Option<Piece> {
        self.problem.view(Slot::Target).map(|view| pieces::labels(view.dtype))
    }

    /// The reduction's factor of a row's gradient.
    pub(super) fn scale(&self) -> Piece {
        if self.counted() {
            pieces::SCALE_COUNTED
        } else {
            pieces::SCALE_STATIC
        }
    }

    /// The pieces that every driver of rows has.
    pub(super) fn shared_pieces(&self, full: &[Full]) -> Vec<Piece> {
        let problem = self.problem;
        let mut list = vec![
            piece!("params/row.wgsl"),
            pieces::PARAMS,
            piece!("row/columns.wgsl"),
            pieces::MATH,
            pieces::GUARD,
            pieces::CLASSIFY,
            pieces::CLASS_WEIGHT,
            pieces::OUTCOME,
        ];
        if self.spread.pack.is_none() {
            list.push(piece!("row/fold.wgsl"));
        }
        if self.reads_ahead() {
            list.push(piece!("row/ahead.wgsl"));
        }
        // Upstream gradients that are of statistics, too, come in f32.
        let upstream = problem.grad_output.as_ref().filter(|_| self.upstreams.is_none());
        let views = full.iter().map(|own| &own.view).chain(upstream);
        let dtypes = views.chain(problem.read().map(|own| &own.view)).map(|view| view.dtype);
        list.extend(pieces::half(dtypes.chain([problem.dtype]), self.limits));
        list.extend(self.rows.state);
        list.extend(self.upstreams.map(|_| piece!("state/softmax_grads.wgsl")));
        list.extend(&self.rows.pieces);
        list
    }

    pub(super) fn consts(&self, full: &[Full], quads: bool) -> Vec<Const> {
        let wants = |slot| full.iter().any(|full| full.slot == slot);
        let grad = self.problem.mode.wants_grad();
        let mut consts = vec![
            Const::U32("WIDTH", self.spread.width),
            Const::U32("LANES", self.spread.lanes),
            Const::U32("TURNS", self.spread.turns),
            Const::Bool("BLOCKS", self.has_blocks()),
            Const::U32("ROWS", self.spread.rows_per_tile() as u32),
            Const::Bool("QUADS", quads),
            Const::Bool("INNERMOST", self.rows.inner == 1),
            Const::Bool("WANTS_GRAD", grad),
            Const::Bool("WANTS_VALUES", wants(Slot::Loss)),
            Const::Bool("WANTS_TARGET_GRAD", wants(Slot::GradTarget)),
            Const::Bool("WRITES_ROWS", grad || self.rows.is_map()),
            Const::Bool("IS_MAP", self.rows.is_map()),
            Const::Bool("READS_ROWS", self.rows.reads),
            Const::Bool("WANTS_STATS", self.problem.stats.any() || self.upstreams.is_some()),
            Const::Bool("IGNORES", self.rows.ignore_index().is_some()),
            Const::Bool("KEEPS_EXPS", self.keeps_exps()),
        ];
        consts.extend(self.upstreams.map(|_| Const::Bool("STATS_GRADS", true)));
        consts.extend(self.problem.scalars.accessors());
        consts.extend(&self.rows.consts);
        consts
    }

    /// The label of a variant: what it is told, how it differs for other reasons than that, and its way of taking rows.
    pub(super) fn label(&self, marks: &[&str], way: &str) -> String {
        let problem = self.problem;
        let told = problem
            .read()
            .map(|own| format!("{}_{}", own.slot.name(), own.view.dtype));
        let upstream = problem.grad_output.as_ref().filter(|_| problem.mode.wants_grad());
        let upstream = match self.upstreams {
            Some(_) => Some("grad_stats".into()),
            None => upstream.map(|view| format!("grad_output_{}", view.dtype)),
        };
        let told = told.chain(upstream);
        format!(
            "{}/{}/{}{}{}/{way}",
            problem.name,
            problem.mode.name(),
            named(&self.rows.kind),
            told.collect::<Vec<_>>().join("-"),
            marks.concat(),
        )
    }

    /// How rows are read.
    pub(super) fn read_marks(&self, quads: bool) -> [&'static str; 3] {
        let ignores = self.rows.ignore_index().is_some();
        let is_strided = self.rows.inner > 1;
        [
            mark(quads, "/x4"),
            mark(is_strided, "/strided"),
            mark(ignores, "/ignores"),
        ]
    }

    /// How outputs of the input's shape are written.
    pub(super) fn write_marks(&self, full: &[Full]) -> [&'static str; 3] {
        [
            mark(self.problem.in_place, "/in_place"),
            mark(self.problem.accumulates, "/add"),
            mark(full.iter().any(|f| f.slot == Slot::GradTarget), "/grad_target"),
        ]
    }

    /// How the lanes of a row merge their states; `over_input`: gradients go over what the same dispatch reads.
    pub(super) fn tree(&self, over_input: bool) -> Tree {
        Tree::of(self.spread, self.tuning, self.limits, over_input)
    }

    /// What scales a row.
    pub(super) fn scale_mark(&self) -> &'static str {
        mark(self.counted(), "/counted")
    }

    pub(super) fn variant(&self, chunk: Chunk) -> Variant {
        let quads = self.quads() && !chunk.gathered;
        let flat = if self.spread.pack.is_some() {
            self.flat(chunk)
        } else {
            quads
        };
        let full = self.full();
        let staged = self.staged(chunk);
        let held = self.held().filter(|_| staged.is_none());
        let mut list = if self.spread.pack.is_some() {
            vec![self.pack_driver()]
        } else {
            vec![
                piece!("driver/row.wgsl"),
                piece!("row/put.wgsl"),
                match (staged, held) {
                    (Some(_), _) => piece!("row/staged.wgsl"),
                    (None, Some(_)) => piece!("row/held.wgsl"),
                    (None, None) => piece!("row/streamed.wgsl"),
                },
            ]
        };
        let tree = self.tree(self.problem.in_place);
        if self.spread.pack.is_none() {
            list.extend(tree.pieces);
        }
        list.extend(self.shared_pieces(&full));
        list.push(piece!("row/outputs.wgsl"));
        list.push(self.scale());
        list.push(self.read(Slot::Input, &full, flat));
        match self.rows.targets {
            Targets::Index { .. } => list.extend(self.labels()),
            _ => list.push(self.read(Slot::Target, &full, quads)),
        }
        list.extend([Slot::Weight, Slot::SampleWeight, Slot::GradOutput].map(|slot| self.read(slot, &full, quads)));
        list.extend(self.writes(&full, quads, flat, self.writes_each()));
        let (losses, losses_name) = self.losses();
        list.extend(losses);
        let mut way = tree.name;
        if self.spread.turns > 1 {
            way += &format!("x{}", self.spread.turns);
        }
        let mut consts = self.consts(&full, quads);
        consts.extend(tree.consts);
        if let Some(pack) = self.spread.pack {
            way += &self.pack_way(pack, flat);
            consts.extend(self.pack_consts(pack, flat));
        } else if !self.has_blocks() {
            way += "/short";
        }
        if let Some(held) = held {
            way += &format!("/held{held}");
            consts.push(Const::U32("HELD", held));
        }
        if let Some(Staged { takes, words }) = staged {
            way += &format!("/staged{words}x{takes}");
            consts.extend([Const::U32("STAGED", words), Const::U32("TAKES", takes)]);
        }
        let mut marks = vec![losses_name.as_str(), self.scale_mark()];
        marks.extend(self.read_marks(quads));
        marks.extend(self.write_marks(&full));
        Variant {
            shared: Vec::new(),
            label: self.label(&marks, &way),
            consts,
            pieces: list,
        }
    }
}

pub(super) fn mark(is: bool, name: &'static str) -> &'static str {
    if is { name } else { "" }
}
