//! Plans of the elementwise driver: operands broadcast to the input's shape, tiles of elements, chunks of tiles.

use crate::error::{Error, Result};
use crate::layout::{ElementParams, Slot};
use crate::limits::{Limits, Tuning};
use crate::plan::broadcast::{Addressing, Grid, ORDER, Operand, block, iterations, operands, tile};
use crate::plan::window::Window;
use crate::plan::{Dispatch, Plan, Source, Step, furthest, grid, in_one_grid, reduce};
use crate::problem::{Elements, Problem, Reduction};
use crate::shader::{Const, Variant, piece, pieces};

struct Planner<'a> {
    problem: &'a Problem,
    elements: &'a Elements,
    limits: &'a Limits,
    tuning: &'a Tuning,
    grid: Grid,
    operands: Vec<Operand>,
    states: Option<Source>,
}

pub(super) fn plan(problem: &Problem, elements: &Elements, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut plan = Plan::default();
    let reduced = problem.mode.wants_loss() && problem.reduction != Reduction::None;
    let len = problem.input.len();
    let (mut states, mut tiles) = (None, 0);
    if len > 0 {
        let (sizes, operands) = operands(problem, elements)?;
        let tile = tile(&operands, sizes.len(), tuning);
        let block = block(&sizes, len);
        let block_tiles = block.div_ceil(tile);
        let grid = Grid {
            sizes,
            block,
            block_tiles,
            tiles: len / block * block_tiles,
            tile,
        };
        tiles = grid.tiles;
        if tiles >= 1 << 32 {
            return Err(Error::Limit(format!("{len} elements in tiles of {tile}")));
        }
        if reduced {
            states = Some(plan.add_scratch(tiles * reduce::SUM_STATE_BYTES, limits)?);
        }
        let planner = Planner {
            problem,
            elements,
            limits,
            tuning,
            grid,
            operands,
            states,
        };
        planner.add_chunks(&mut plan)?;
    }
    if reduced {
        let states = match states {
            Some(states) => states,
            None => plan.add_scratch(0, limits)?,
        };
        let scale = problem.static_scale() as f32;
        reduce::add_loss_sum(&mut plan, states, tiles, scale, false, limits, tuning)?;
    }
    Ok(plan)
}

impl Planner<'_> {
    fn add_chunks(&self, plan: &mut Plan) -> Result<()> {
        let mut first = 0;
        while first < self.grid.tiles {
            let fits = |end| {
                self.windows((first, end)).iter().all(|(_, _, w)| w.fits(self.limits))
                    && in_one_grid(end - first, self.limits)
                    && self.grid.element(end) - self.grid.element(first) < 1 << 32
            };
            let end = furthest(first, self.grid.tiles, fits).ok_or_else(|| {
                Error::Limit(format!(
                    "an operand broadcast along inner dimensions of shape {:?} does not fit into a binding of {} bytes",
                    self.problem.input.shape, self.limits.max_binding_bytes
                ))
            })?;
            self.add_dispatch(plan, (first, end));
            first = end;
        }
        Ok(())
    }

    fn run(&self, tiles: (u64, u64)) -> (u64, u64) {
        (self.grid.element(tiles.0), self.grid.element(tiles.1))
    }

    fn windows(&self, tiles: (u64, u64)) -> Vec<(Slot, bool, Window)> {
        let (first, end) = self.run(tiles);
        let mut list: Vec<_> = self
            .operands
            .iter()
            .map(|operand| {
                let (from, to) = operand.run(&self.grid, first, end);
                let window = Window::of(&operand.view, Source::Tensor(operand.role), from, to);
                (operand.slot, operand.written, window)
            })
            .collect();
        if let Some(states) = self.states {
            let window = Window::scratch(states, reduce::SUM_STATE_BYTES, tiles.0, tiles.1);
            list.push((Slot::Loss, true, window));
        }
        list
    }

    fn add_dispatch(&self, plan: &mut Plan, tiles: (u64, u64)) {
        let windows = self.windows(tiles);
        let groups = grid(tiles.1 - tiles.0, self.limits);
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: self.variant(),
            params: bytemuck::bytes_of(&self.params(tiles, &windows, groups[0])).to_vec(),
            bindings: windows
                .iter()
                .map(|(slot, written, window)| window.binding(*slot, *written, self.limits))
                .collect(),
            groups,
            iterations: iterations(&self.operands, self.grid.sizes.len(), self.grid.tile, self.tuning),
            tiles,
        })));
    }

    fn params(&self, tiles: (u64, u64), windows: &[(Slot, bool, Window)], groups_x: u32) -> ElementParams {
        let (first, _) = self.run(tiles);
        let origin = self.grid.coordinates(first);
        let first_block = tiles.0 / self.grid.block_tiles;
        let mut params = ElementParams {
            first_tile: tiles.0 as u32,
            end_tile: tiles.1 as u32,
            groups_x,
            block_tiles: self.grid.block_tiles as u32,
            block_len: self.grid.block as u32,
            last_len: (self.grid.block - (self.grid.block_tiles - 1) * self.grid.tile) as u32,
            first_block: first_block as u32,
            skip: (first - first_block * self.grid.block) as u32,
            dims: self.grid.sizes.len() as u32,
            scale: self.problem.static_scale() as f32,
            nan: f32::NAN,
            hyper: self.problem.hyper_f32(),
            // Absent operands are asked for one element, which their piece makes up.
            mode: [Addressing::Single as u32; 8],
            ..Default::default()
        };
        for (d, (&size, &at)) in self.grid.sizes.iter().zip(&origin).enumerate() {
            // A dimension that 32 bits cannot hold is never carried over within a dispatch.
            params.sizes[d] = u32::try_from(size).unwrap_or(u32::MAX);
            params.origin[d] = at as u32;
        }
        for (operand, (_, _, window)) in self.operands.iter().zip(windows) {
            let Some(k) = ORDER.iter().position(|slot| *slot == operand.slot) else {
                continue;
            };
            // The window begins with its lowest element; the origin's may lie further on.
            let ahead = match operand.addressing {
                Addressing::Strided => operand.index(&origin) - window.first,
                Addressing::Contiguous | Addressing::Single => 0,
            };
            params.base[k] = window.base(self.limits) + ahead as u32;
            params.mode[k] = operand.addressing as u32;
            for (d, &stride) in operand.strides.iter().enumerate() {
                params.strides[k][d] = stride as u32;
            }
        }
        if self.problem.in_place {
            // The gradient goes where the input came from.
            let (from, to) = (0, ORDER.len() - 1);
            params.base[to] = params.base[from];
            params.mode[to] = params.mode[from];
            params.strides[to] = params.strides[from];
        }
        if self.states.is_some() {
            params.states_base = windows.last().map_or(0, |(_, _, window)| window.base(self.limits));
        }
        params
    }

    /// Every quad is aligned and whole in the operands that can be read four at a time.
    fn quads(&self) -> bool {
        self.grid.block.is_multiple_of(4)
            && self
                .operands
                .iter()
                .filter(|o| matches!(o.slot, Slot::Input | Slot::Target | Slot::GradInput))
                .all(|o| o.addressing == Addressing::Contiguous && o.view.offset.is_multiple_of(16))
    }

    /// A bit for each operand walked by strides, at its place in [`ORDER`].
    fn strided(&self) -> u32 {
        let walked = |slot: Slot| {
            self.operands
                .iter()
                .any(|o| o.slot == slot && o.addressing == Addressing::Strided)
        };
        let mut bits = (0..ORDER.len()).filter(|&k| walked(ORDER[k])).map(|k| 1 << k).sum();
        if self.problem.in_place && walked(Slot::Input) {
            bits |= 1 << (ORDER.len() - 1);
        }
        bits
    }

    fn variant(&self) -> Variant {
        let problem = self.problem;
        let grad = problem.mode.wants_grad();
        let access = pieces::Access {
            quads: self.quads(),
            in_place: problem.in_place,
        };
        let has = |slot| self.operands.iter().any(|o| o.slot == slot);
        let mut list = vec![
            piece!("driver/elementwise.wgsl"),
            piece!("piece/element_params.wgsl"),
            pieces::MATH,
            self.elements.piece,
        ];
        list.extend(pieces::input(access));
        list.push(pieces::targets(access));
        list.push(if has(Slot::Third) {
            piece!("piece/element_third_buffer.wgsl")
        } else {
            piece!("piece/element_third_one.wgsl")
        });
        list.push(if has(Slot::Weight) {
            piece!("piece/element_weight_buffer.wgsl")
        } else {
            piece!("piece/element_weight_one.wgsl")
        });
        list.push(if has(Slot::GradOutput) {
            piece!("piece/element_grad_output_buffer.wgsl")
        } else {
            piece!("piece/element_grad_output_one.wgsl")
        });
        list.push(if grad {
            pieces::grad_input(access)
        } else {
            pieces::GRAD_INPUT_SKIP
        });
        let loss_name = if self.states.is_some() {
            list.extend([
                piece!("piece/element_loss_tile.wgsl"),
                pieces::TREE_WORKGROUP,
                pieces::SUM,
                pieces::SCALE_STATIC,
            ]);
            "/tile"
        } else if problem.mode.wants_loss() {
            list.push(piece!("piece/element_loss_each.wgsl"));
            "/each"
        } else {
            list.push(piece!("piece/element_loss_skip.wgsl"));
            ""
        };
        Variant {
            label: format!(
                "{}/{}/{}{}{loss_name}{}{}{}{}/strided{}/group{}/tile{}",
                problem.name,
                problem.mode.name(),
                problem.input.dtype,
                if access.quads { "x4" } else { "" },
                if has(Slot::Third) { "/third" } else { "" },
                if has(Slot::Weight) { "/weight" } else { "" },
                if has(Slot::GradOutput) { "/upstream" } else { "" },
                if problem.in_place { "/in_place" } else { "" },
                self.strided(),
                self.tuning.width,
                self.grid.tile,
            ),
            consts: vec![
                Const::U32("WIDTH", self.tuning.width),
                Const::U32("TILE", self.grid.tile as u32),
                Const::U32("STRIDED", self.strided()),
                Const::Bool("WANTS_LOSS", problem.mode.wants_loss()),
                Const::Bool("WANTS_GRAD", grad),
            ],
            pieces: list,
        }
    }
}
