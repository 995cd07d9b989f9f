//! Plans of the row driver.
//!
//! A row goes to one lane (few classes, or classes that are not innermost) or to one workgroup. Tiles are the rows of
//! one workgroup. Where even one slab of an input with inner dimensions is larger than a binding, its rows are gathered
//! into scratch by copies, piece by piece, and the gradient is scattered back.

use crate::error::{Error, Result};
use crate::layout::{RowParams, Slot, words};
use crate::limits::{Limits, Tuning};
use crate::plan::spread::{Spread, Tiles};
use crate::plan::window::Window;
use crate::plan::{Copy, Dispatch, Plan, Source, Step, furthest, grid, in_one_grid, reduce};
use crate::problem::{Problem, Reduction, Role, Rows, Targets};
use crate::shader::{Const, Variant, piece, pieces};
use crate::tensor::{Dtype, View};

/// A run of tiles, and where its rows lie: in the tensors themselves, or gathered into scratch.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    tiles: (u64, u64),
    gathered: bool,
}

struct Planner<'a> {
    problem: &'a Problem,
    rows: &'a Rows,
    limits: &'a Limits,
    spread: Spread,
    tiles: Tiles,
    /// One partial sum per tile.
    states: Option<Source>,
    /// Scratch for gathered operands of the input's shape, by role.
    gathers: Vec<(Role, Source)>,
    /// Bytes of each of them.
    gather_bytes: u64,
}

pub(super) fn plan(problem: &Problem, rows: &Rows, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut plan = Plan::default();
    let count = rows.rows();
    if count >= 1 << 32 {
        return Err(Error::Limit(format!("{count} rows, at most 2^32 - 1 in one call")));
    }
    if let Targets::Index { ignore_index } = rows.targets {
        reduce::add_count(
            &mut plan,
            &problem.target,
            rows.weight.as_ref(),
            ignore_index,
            rows.cols as u32,
            limits,
            tuning,
        )?;
    }
    let reduced = problem.mode.wants_loss() && problem.reduction != Reduction::None;
    let mut states = None;
    let mut tile_count = 0;
    if count > 0 {
        let spread = Spread::choose(rows, limits, tuning)?;
        let tiles = Tiles::new(rows, spread);
        if tiles.count >= 1 << 32 {
            return Err(Error::Limit(format!("{} tiles of rows, at most 2^32 - 1", tiles.count)));
        }
        tile_count = tiles.count;
        if reduced {
            states = Some(plan.add_scratch(tiles.count * reduce::SUM_STATE_BYTES, limits)?);
        }
        let mut planner = Planner {
            problem,
            rows,
            limits,
            spread,
            tiles,
            states,
            gathers: Vec::new(),
            gather_bytes: 0,
        };
        planner.add_chunks(&mut plan)?;
    }
    if reduced {
        let states = match states {
            Some(states) => states,
            None => plan.add_scratch(0, limits)?,
        };
        let counted = problem.counts_denominator();
        let scale = problem.static_scale() as f32;
        reduce::add_loss_sum(&mut plan, states, tile_count, scale, counted, limits, tuning)?;
    }
    Ok(plan)
}

impl Planner<'_> {
    fn add_chunks(&mut self, plan: &mut Plan) -> Result<()> {
        let mut first = 0;
        while first < self.tiles.count {
            let fits = |gathered: bool| {
                furthest(first, self.tiles.count, |end| {
                    self.fits(Chunk {
                        tiles: (first, end),
                        gathered,
                    })
                })
            };
            let chunk = if let Some(end) = fits(false) {
                Chunk {
                    tiles: (first, end),
                    gathered: false,
                }
            } else if let Some(end) = fits(true).filter(|_| self.rows.inner > 1) {
                Chunk {
                    tiles: (first, end),
                    gathered: true,
                }
            } else {
                return Err(Error::Limit(format!(
                    "a row of {} classes (or the rows of one workgroup, with the gaps between them) does not fit into a \
                     binding of {} bytes",
                    self.rows.cols, self.limits.max_binding_bytes
                )));
            };
            if chunk.gathered {
                self.add_gathered(plan, chunk)?;
            } else {
                self.add_dispatch(plan, chunk);
            }
            first = chunk.tiles.1;
        }
        Ok(())
    }

    fn run(&self, chunk: Chunk) -> (u64, u64) {
        (self.tiles.row(chunk.tiles.0), self.tiles.row(chunk.tiles.1))
    }

    fn fits(&self, chunk: Chunk) -> bool {
        let (first, end) = self.run(chunk);
        let inner = self.rows.inner as u64;
        // Gathered rows lie within one slab.
        let one_slab = !chunk.gathered || first / inner == (end - 1) / inner;
        one_slab
            && in_one_grid(chunk.tiles.1 - chunk.tiles.0, self.limits)
            && self
                .windows(chunk)
                .iter()
                .all(|(_, _, window)| window.fits(self.limits))
    }

    /// The operands and outputs of the input's shape.
    fn full(&self) -> Vec<(Role, Slot, bool, View)> {
        let problem = self.problem;
        let mut list = vec![(Role::Input, Slot::Input, problem.in_place, problem.input.clone())];
        if self.rows.targets == Targets::Full {
            list.push((Role::Target, Slot::Target, false, problem.target.clone()));
        }
        if problem.mode.wants_grad() && !problem.in_place {
            list.push((Role::GradInput, Slot::GradInput, true, problem.grad_input.clone()));
        }
        if problem.wants_grad_target {
            let view = View::contiguous(Dtype::F32, &problem.input.shape);
            list.push((Role::GradTarget, Slot::GradTarget, true, view));
        }
        list
    }

    fn windows(&self, chunk: Chunk) -> Vec<(Slot, bool, Window)> {
        let (problem, (first, end)) = (self.problem, self.run(chunk));
        let inner = self.rows.inner as u64;
        let mut list = Vec::new();
        for (role, slot, written, view) in self.full() {
            let window = if chunk.gathered {
                let scratch = self
                    .gathers
                    .iter()
                    .find(|(r, _)| *r == role)
                    .map_or(Source::Tensor(role), |g| g.1);
                Window::scratch(scratch, view.dtype.bytes(), 0, self.rows.cols as u64 * (end - first))
            } else {
                let (slabs, stride) = (first / inner..=(end - 1) / inner, self.stride(&view) as u64);
                let slab = (self.rows.cols * self.rows.inner) as u64;
                Window::of(
                    &view,
                    Source::Tensor(role),
                    slabs.start() * stride,
                    slabs.end() * stride + slab,
                )
            };
            list.push((slot, written, window));
        }
        let by_row = |role, view: &View| Window::of(view, Source::Tensor(role), first, end);
        if matches!(self.rows.targets, Targets::Index { .. }) {
            list.push((Slot::Target, false, by_row(Role::Target, &problem.target)));
        }
        if let Some(view) = &self.rows.weight {
            list.push((
                Slot::Weight,
                false,
                Window::of(view, Source::Tensor(Role::Weight), 0, view.len()),
            ));
        }
        if let Some(view) = problem.grad_output.as_ref().filter(|_| problem.mode.wants_grad()) {
            let window = if view.shape.is_empty() {
                Window::of(view, Source::Tensor(Role::GradOutput), 0, 1)
            } else {
                by_row(Role::GradOutput, view)
            };
            list.push((Slot::GradOutput, false, window));
        }
        if let Some(states) = self.states {
            let window = Window::scratch(states, reduce::SUM_STATE_BYTES, chunk.tiles.0, chunk.tiles.1);
            list.push((Slot::Loss, true, window));
        } else if problem.mode.wants_loss() {
            let view = View::contiguous(Dtype::F32, &[]);
            list.push((Slot::Loss, true, by_row(Role::Loss, &view)));
        }
        if self.counted() {
            list.push((Slot::Control, false, reduce::control()));
        }
        list
    }

    /// The gradient is scaled by what the labels add up to.
    fn counted(&self) -> bool {
        self.problem.counts_denominator() && self.problem.mode.wants_grad()
    }

    /// Elements from one slab to the next: an unbatched input is one slab.
    fn stride(&self, view: &View) -> usize {
        if view.shape.len() > 1 {
            view.row_stride
        } else {
            self.rows.cols
        }
    }

    fn add_dispatch(&self, plan: &mut Plan, chunk: Chunk) {
        let windows = self.windows(chunk);
        let groups = grid(chunk.tiles.1 - chunk.tiles.0, self.limits);
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: self.variant(chunk),
            params: bytemuck::bytes_of(&self.params(chunk, &windows, groups[0])).to_vec(),
            bindings: windows
                .iter()
                .map(|(slot, written, window)| window.binding(*slot, *written, self.limits))
                .collect(),
            groups,
            iterations: self.spread.iterations(self.rows.cols),
            tiles: chunk.tiles,
        })));
    }

    /// Copies the chunk's rows of every operand into scratch, runs it there, and copies the gradients back.
    fn add_gathered(&mut self, plan: &mut Plan, chunk: Chunk) -> Result<()> {
        let (first, end) = self.run(chunk);
        let bytes = self.rows.cols as u64 * (end - first) * 4;
        if bytes > self.gather_bytes {
            self.gather_bytes = bytes;
            self.gathers.clear();
            for (role, ..) in self.full() {
                let scratch = plan.add_scratch(bytes, self.limits)?;
                self.gathers.push((role, scratch));
            }
        }
        let copies = |back: bool| {
            let mut list = Vec::new();
            let inner = self.rows.inner as u64;
            for (role, _, written, view) in self.full() {
                let reads = matches!(role, Role::Input | Role::Target);
                let Some(&(_, scratch)) = self.gathers.iter().find(|(r, _)| *r == role) else {
                    continue;
                };
                if !(if back { written } else { reads }) {
                    continue;
                }
                for class in 0..self.rows.cols as u64 {
                    let element = first / inner * self.stride(&view) as u64 + class * inner + first % inner;
                    let (tensor, at) = (Source::Tensor(role), view.offset + 4 * element);
                    let (packed, size) = (4 * class * (end - first), 4 * (end - first));
                    list.push(Step::Copy(if back {
                        Copy {
                            from: scratch,
                            from_offset: packed,
                            to: tensor,
                            to_offset: at,
                            size,
                        }
                    } else {
                        Copy {
                            from: tensor,
                            from_offset: at,
                            to: scratch,
                            to_offset: packed,
                            size,
                        }
                    }));
                }
            }
            list
        };
        plan.steps.extend(copies(false));
        self.add_dispatch(plan, chunk);
        plan.steps.extend(copies(true));
        Ok(())
    }

    fn params(&self, chunk: Chunk, windows: &[(Slot, bool, Window)], groups_x: u32) -> RowParams {
        let (problem, (first, end)) = (self.problem, self.run(chunk));
        let inner = self.rows.inner as u64;
        let base = |slot| {
            windows
                .iter()
                .find(|(s, ..)| *s == slot)
                .map_or(0, |(_, _, window)| window.base(self.limits))
        };
        let gathered_slab = (self.rows.cols as u64 * (end - first)) as u32;
        let stride = |view: &View| {
            if chunk.gathered {
                gathered_slab
            } else {
                self.stride(view) as u32
            }
        };
        let loss_at = base(Slot::Loss);
        RowParams {
            rows: self.tiles.rows as u32,
            cols: self.rows.cols as u32,
            inner: self.rows.inner as u32,
            col_stride: if chunk.gathered {
                (end - first) as u32
            } else {
                inner as u32
            },
            first_tile: chunk.tiles.0 as u32,
            end_tile: chunk.tiles.1 as u32,
            groups_x,
            block_rows: self.tiles.block_rows as u32,
            block_tiles: self.tiles.block_tiles as u32,
            first_row: first as u32,
            first_slab: (first / inner) as u32,
            first_inner: if chunk.gathered { (first % inner) as u32 } else { 0 },
            input_base: base(Slot::Input),
            input_stride: stride(&problem.input),
            targets_base: base(Slot::Target),
            targets_stride: stride(&problem.target),
            grad_input_base: base(if problem.in_place { Slot::Input } else { Slot::GradInput }),
            grad_input_stride: stride(&problem.grad_input),
            grad_target_base: base(Slot::GradTarget),
            grad_target_stride: if chunk.gathered {
                gathered_slab
            } else {
                (self.rows.cols * self.rows.inner) as u32
            },
            loss_base: if self.states.is_some() { 0 } else { loss_at },
            states_base: if self.states.is_some() { loss_at } else { 0 },
            weight_base: base(Slot::Weight),
            grad_output_base: base(Slot::GradOutput),
            grad_output_step: u32::from(problem.grad_output.as_ref().is_some_and(|g| !g.shape.is_empty())),
            ignore: words(problem.ignore_index().unwrap_or_default()),
            scale: problem.static_scale() as f32,
            neg_inf: f32::NEG_INFINITY,
            nan: f32::NAN,
            hyper: problem.hyper_f32(),
            ..Default::default()
        }
    }

    /// Every quad of every row is aligned and whole, wherever a window begins: a property of the tensors, not of the
    /// chunk, so that all chunks run the same code.
    fn quads(&self) -> bool {
        self.rows.inner == 1
            && self.rows.cols.is_multiple_of(4)
            && self
                .full()
                .iter()
                .all(|(_, _, _, view)| view.offset.is_multiple_of(16) && self.stride(view).is_multiple_of(4))
    }

    fn variant(&self, chunk: Chunk) -> Variant {
        let problem = self.problem;
        let grad = problem.mode.wants_grad();
        let access = pieces::Access {
            quads: self.quads() && !chunk.gathered,
            in_place: problem.in_place,
        };
        let mut list = vec![
            piece!("driver/row.wgsl"),
            piece!("piece/row_params.wgsl"),
            pieces::MATH,
            pieces::FAULT,
            piece!("monoid/softmax.wgsl"),
        ];
        list.push(if self.spread.lanes == 1 {
            piece!("piece/tree_lane.wgsl")
        } else {
            pieces::TREE_WORKGROUP
        });
        list.extend(pieces::input(access));
        match self.rows.targets {
            Targets::Index { .. } => list.push(pieces::labels(problem.target.dtype)),
            Targets::Full => list.push(pieces::targets(access)),
        }
        list.push(pieces::class_weight(self.rows.weight.is_some()));
        list.extend(&self.rows.pieces);
        list.push(if grad {
            pieces::grad_input(access)
        } else {
            pieces::GRAD_INPUT_SKIP
        });
        list.push(if problem.wants_grad_target {
            piece!("piece/row_grad_target_f32.wgsl")
        } else {
            piece!("piece/row_grad_target_skip.wgsl")
        });
        list.push(if grad && problem.grad_output.is_some() {
            piece!("piece/row_grad_output_buffer.wgsl")
        } else {
            piece!("piece/row_grad_output_one.wgsl")
        });
        list.push(if self.counted() {
            pieces::SCALE_COUNTED
        } else {
            pieces::SCALE_STATIC
        });
        let (loss, loss_name) = match (problem.mode.wants_loss(), self.states) {
            (false, _) => (piece!("piece/row_loss_skip.wgsl"), ""),
            (true, None) => (piece!("piece/row_loss_each.wgsl"), "/each"),
            (true, Some(_)) => (piece!("piece/row_loss_tile.wgsl"), "/tile"),
        };
        list.push(loss);
        let spread = if self.spread.lanes == 1 { "lane" } else { "group" };
        Variant {
            label: format!(
                "{}/{}/{}{}/{}{}{}{}{}{}{}",
                problem.name,
                problem.mode.name(),
                problem.input.dtype,
                if access.quads { "x4" } else { "" },
                self.rows.kind,
                loss_name,
                if self.counted() { "/counted" } else { "" },
                if problem.grad_output.is_some() && grad {
                    "/upstream"
                } else {
                    ""
                },
                if problem.in_place { "/in_place" } else { "" },
                if problem.wants_grad_target { "/grad_target" } else { "" },
                format_args!("/{spread}{}", self.spread.width),
            ),
            consts: vec![
                Const::U32("WIDTH", self.spread.width),
                Const::U32("LANES", self.spread.lanes),
                Const::U32("ROWS", self.spread.rows_per_tile() as u32),
                Const::Bool("WANTS_GRAD", grad),
            ],
            pieces: list,
        }
    }
}
