//! Plans of the elementwise driver: operands broadcast to the input's shape, tiles of elements, chunks of tiles.

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{ElementParams, Slot, words};
use crate::limits::Limits;
use crate::plan::broadcast::{Addressing, Grid, ORDER, Walked, block, iterations, operands, tile};
use crate::plan::tree::{Tree, tile_fault};
use crate::plan::window::{Window, Windows, base_of, bindings, fit};
use crate::plan::{Dispatch, Origin, Plan, Step, axis, balanced, furthest, grid, monoid, named, reduce};
use crate::problem::{Elements, Problem};
use crate::shader::pieces::Put;
use crate::shader::{Const, Piece, Variant, piece, pieces};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

struct ElementsPlanner<'a> {
    problem: &'a Problem,
    elements: &'a Elements,
    limits: &'a Limits,
    tuning: &'a Tuning,
    grid: Grid,
    operands: Vec<Walked>,
    states: Option<Origin>,
    /// Where the faults of the tiles go.
    faults: Option<Origin>,
}

/// A gradient as the driver writes it.
type Output = (Slot, Origin, View);

/// A gradient of an operand that broadcasts: its contributions in scratch, and where their sum goes.
struct Contribution {
    from: Origin,
    to: Role,
    view: View,
}

pub(super) fn plan(problem: &Problem, elements: &Elements, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut plan = Plan::default();
    let reduced = problem.mode.wants_loss() && problem.is_reduced();
    let len = problem.term_count();
    let check = problem.check_on_the_way();
    let (mut states, mut faults, mut tiles) = (None, None, 0);
    let (grads, spreads) = grads(&mut plan, problem);
    if len > 0 {
        let (sizes, operands) = operands(problem, &grads)?;
        let tile = tile(problem, &operands, sizes.len(), tuning, elements.input_rule.is_some());
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
            states = Some(plan.add_scratch(tiles * monoid::SUM_STATE_BYTES));
        }
        if check.is_some() {
            faults = Some(plan.add_scratch(tiles * monoid::FAULT_BYTES));
        }
        let planner = ElementsPlanner {
            problem,
            elements,
            limits,
            tuning,
            grid,
            operands,
            states,
            faults,
        };
        planner.add_chunks(&mut plan)?;
    }
    // Of no elements, too: where these go may hold anything before.
    for spread in spreads {
        let to = Origin::Tensor(spread.to);
        axis::add_sum_to(&mut plan, spread.from, &problem.terms, to, &spread.view, limits, tuning)?;
    }
    // Of no elements there are no tiles.
    let or_nothing = |plan: &mut Plan, own: Option<Origin>| own.unwrap_or_else(|| plan.add_scratch(0));
    if let Some(check) = check {
        let faults = or_nothing(&mut plan, faults);
        reduce::add_faults(&mut plan, faults, tiles, check, limits, tuning)?;
    }
    if reduced {
        let states = or_nothing(&mut plan, states);
        let scale = monoid::Scale::Static(problem.static_scale() as f32);
        reduce::add_loss_sum(&mut plan, problem, (states, tiles), scale, limits, tuning)?;
    }
    Ok(plan)
}

/// Where the driver writes the gradients. Those of operands that broadcast are added up later.
fn grads(plan: &mut Plan, problem: &Problem) -> (Vec<Output>, Vec<Contribution>) {
    let (mut list, mut spreads) = (Vec::new(), Vec::new());
    for (operand, role, view) in problem.grads() {
        if problem.in_place && operand.slot == Slot::Input {
            continue; // it goes where the input came from
        }
        if operand.view.shape == problem.terms {
            list.push((operand.slot.grad(), Origin::Tensor(role), view.clone()));
        } else if operand.view.len() == problem.term_count() {
            // It broadcasts along dimensions of size 1 alone: nothing is added up. Such a gradient has no gaps.
            let whole = View::placed(view.dtype, &problem.terms, view.offset);
            list.push((operand.slot.grad(), Origin::Tensor(role), whole));
        } else {
            let whole = View::contiguous(Dtype::F32, &problem.terms);
            let from = plan.add_scratch(whole.end());
            list.push((operand.slot.grad(), from, whole));
            spreads.push(Contribution {
                from,
                to: role,
                view: view.clone(),
            });
        }
    }
    (list, spreads)
}

/// Elements that are worth longer code.
const MANY: u64 = 1 << 16;

impl ElementsPlanner<'_> {
    fn add_chunks(&self, plan: &mut Plan) -> Result<()> {
        let mut first = 0;
        while first < self.grid.tiles {
            let fits = |end| {
                fit(&self.windows((first, end)), end - first, self.limits)
                    && self.grid.element(end) - self.grid.element(first) < 1 << 32
            };
            let end = furthest(first, self.grid.tiles, fits).ok_or_else(|| {
                Error::Limit(format!(
                    "an operand broadcast along inner dimensions of shape {:?} does not fit into a binding of {} bytes",
                    self.problem.terms, self.limits.max_binding_bytes
                ))
            })?;
            let end = balanced(first, end, self.grid.tiles, self.tuning);
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
                let window = Window::of(&operand.view, operand.source, from, to);
                (operand.slot, operand.written, window)
            })
            .collect();
        if let Some(states) = self.states {
            let window = Window::scratch(states, monoid::SUM_STATE_BYTES, tiles.0, tiles.1);
            list.push((Slot::Loss, true, window));
        }
        if let Some(faults) = self.faults {
            let window = Window::scratch(faults, monoid::FAULT_BYTES, tiles.0, tiles.1);
            list.push((Slot::Faults, true, window));
        }
        list
    }

    fn add_dispatch(&self, plan: &mut Plan, tiles: (u64, u64)) {
        let windows = self.windows(tiles);
        let groups = grid(tiles.1 - tiles.0, self.limits);
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: self.variant(),
            params: bytemuck::bytes_of(&self.params(tiles, &windows, groups[0])).to_vec(),
            bindings: bindings(&windows, self.limits),
            groups,
            iterations: iterations(
                &self.operands,
                self.grid.sizes.len(),
                self.grid.tile,
                self.tuning,
                self.faults.is_some(),
            ),
            tiles,
            multiply_adds: 0,
        })));
    }

    fn params(&self, tiles: (u64, u64), windows: &Windows, groups_x: u32) -> ElementParams {
        let (first, _) = self.run(tiles);
        let origin = self.grid.coordinates(first);
        let first_block = tiles.0 / self.grid.block_tiles;
        let [scalars_0_3, scalars_4_7] = self.problem.scalars.clamped();
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
            scalars_0_3,
            scalars_4_7,
            first_place: words(first as i64),
            faults_base: base_of(windows, Slot::Faults, self.limits),
            ..Default::default()
        };
        for (d, (&size, &at)) in self.grid.sizes.iter().zip(&origin).enumerate() {
            // A dimension that 32 bits cannot hold is never carried over within a dispatch.
            params.sizes[d] = u32::try_from(size).unwrap_or(u32::MAX);
            params.origin[d] = at as u32;
        }
        for (operand, (_, _, window)) in self.operands.iter().zip(windows) {
            let k = place(operand.slot);
            // The window begins with its lowest element; the origin's may lie further on.
            let ahead = match operand.addressing {
                Addressing::Strided => operand.index(&origin) - window.first,
                Addressing::Contiguous | Addressing::Single => 0,
            };
            params.base[k] = window.base(self.limits) + ahead as u32;
            for (d, &stride) in operand.strides.iter().enumerate() {
                params.strides[k][d] = stride as u32;
            }
        }
        if self.problem.in_place {
            // The gradient goes where the input came from.
            let (from, to) = (place(Slot::Input), place(Slot::GradInput));
            params.base[to] = params.base[from];
            params.strides[to] = params.strides[from];
        }
        if self.states.is_some() {
            params.states_base = base_of(windows, Slot::Loss, self.limits);
        }
        params
    }

    /// A bit for each operand that lies so, at its place in [`ORDER`].
    fn lying(&self, addressing: Addressing) -> u32 {
        let lies = |slot: Slot| self.operand(slot).is_some_and(|o| o.addressing == addressing);
        let mut bits = (0..ORDER.len()).filter(|&k| lies(ORDER[k])).map(|k| 1 << k).sum();
        if self.problem.in_place && lies(Slot::Input) {
            bits |= 1 << place(Slot::GradInput);
        }
        bits
    }

    fn operand(&self, slot: Slot) -> Option<&Walked> {
        self.operands.iter().find(|operand| operand.slot == slot)
    }

    /// The pieces that read an operand.
    fn read(&self, slot: Slot) -> [Piece; 2] {
        let access = self.operand(slot).map_or(pieces::absent(slot), |o| {
            let quads = o.quads(&self.grid);
            if slot == Slot::Input && self.problem.in_place {
                pieces::over(slot, o.view.dtype, quads)
            } else {
                pieces::read(slot, o.view.dtype, quads)
            }
        });
        [access, piece!("access/element_read.wgsl", slot)]
    }

    /// The pieces that write an output.
    fn write(&self, slot: Slot) -> [Piece; 2] {
        let access = self.operand(slot).map_or(pieces::absent(slot), |o| {
            let adds = slot == Slot::GradInput && self.problem.accumulates;
            let put = if adds { Put::Add } else { Put::Write };
            pieces::write(slot, o.view.dtype, o.quads(&self.grid), put)
        });
        [access, piece!("access/element_write.wgsl", slot)]
    }

    /// The pieces that write the gradients.
    fn grads(&self) -> Vec<Piece> {
        let mut list = Vec::new();
        if self.problem.in_place {
            list.push(piece!("access/element_write.wgsl", Slot::GradInput)); // access/over_* put it
        } else {
            list.extend(self.write(Slot::GradInput));
        }
        list.extend(self.write(Slot::GradTarget));
        list.extend(self.write(Slot::GradThird));
        list
    }

    /// Four quads are read before the first is written. Their code then stands there four times: compiling it takes
    /// twice as long, which few elements do not make up for, and SwiftShader's compiler takes minutes where it is long
    /// or branches.
    fn reads_ahead(&self) -> bool {
        let whole = |o: &Walked| o.quads(&self.grid) || o.addressing == Addressing::Single;
        let many = self.problem.term_count() >= MANY;
        many && !self.elements.branches && self.operands.iter().all(whole)
    }

    fn variant(&self) -> Variant {
        let problem = self.problem;
        let [strided, single] = [Addressing::Strided, Addressing::Single].map(|way| self.lying(way));
        let mut list = vec![
            piece!("driver/elementwise.wgsl"),
            pieces::PARAMS,
            pieces::MATH,
            pieces::GUARD,
            self.elements.piece,
        ];
        list.extend(pieces::half(self.operands.iter().map(|o| o.view.dtype), self.limits));
        for slot in [Slot::Input, Slot::Target, Slot::Third, Slot::Weight, Slot::GradOutput] {
            list.extend(self.read(slot));
        }
        list.extend(self.grads());
        list.extend(self.elements.input_rule.map(monoid::rule));
        let fault_mark = if self.faults.is_some() {
            let (fault, mark) = tile_fault(self.tuning.width, self.limits);
            list.extend([monoid::FAULT, fault, piece!("fault/element.wgsl")]);
            mark
        } else {
            ""
        };
        let (mut tree_consts, mut way) = (Vec::new(), format!("group{}", self.tuning.width));
        if self.states.is_some() {
            let tree = Tree::of_tile(self.tuning, self.limits);
            (tree_consts, way) = (tree.consts, tree.name);
            list.extend(tree.pieces);
            list.extend([
                piece!("outcome/element_tile.wgsl"),
                pieces::SUM,
                pieces::SCALE_STATIC,
                pieces::absent(Slot::Loss),
                piece!("access/element_write.wgsl", Slot::Loss),
            ]);
        } else {
            list.extend(self.write(Slot::Loss));
        }
        let mut consts = vec![
            Const::U32("WIDTH", self.tuning.width),
            Const::U32("TILE", self.grid.tile as u32),
            Const::Bool("AHEAD", self.reads_ahead()),
            Const::U32("STRIDED", strided),
            Const::U32("SINGLE", single),
            Const::Bool("WANTS_LOSS", problem.mode.wants_loss()),
            Const::Bool("WANTS_GRAD", problem.mode.wants_grad()),
            Const::Bool("WANTS_GRAD_T", self.operand(Slot::GradTarget).is_some()),
            Const::Bool("WANTS_GRAD_U", self.operand(Slot::GradThird).is_some()),
            Const::Bool("NAN_GRADS", self.elements.nan_grads),
            Const::Bool("FINITE", self.elements.finite),
        ];
        consts.extend(
            self.problem
                .check_on_the_way()
                .map(|(_, check)| monoid::nan_breaks(check)),
        );
        consts.extend(problem.scalars.accessors());
        consts.extend(&self.elements.consts);
        consts.extend(tree_consts);
        Variant {
            shared: Vec::new(),
            label: format!(
                "{}/{}/{}{}{}{}{}{}/strided{strided}/single{single}/{way}{fault_mark}/tile{}",
                problem.name,
                problem.mode.name(),
                named(&self.elements.kind),
                self.operands.iter().map(|o| self.told(o)).collect::<Vec<_>>().join("-"),
                if self.states.is_some() { "/tile" } else { "" },
                if self.reads_ahead() { "/ahead" } else { "" },
                if self.elements.nan_grads { "" } else { "/nan_passes" },
                if problem.in_place {
                    "/in_place"
                } else if problem.accumulates {
                    "/add"
                } else {
                    ""
                },
                self.grid.tile,
            ),
            consts,
            pieces: list,
        }
    }

    /// `input_f16x4`: an operand in the label.
    fn told(&self, operand: &Walked) -> String {
        let quads = if operand.quads(&self.grid) { "x4" } else { "" };
        format!("{}_{}{quads}", operand.slot.name(), operand.view.dtype)
    }
}

/// The place of an operand in the params.
fn place(slot: Slot) -> usize {
    ORDER.iter().position(|own| *own == slot).unwrap_or_default()
}
