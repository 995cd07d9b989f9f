//! Plans of the elementwise driver: operands broadcast to the input's shape, tiles of elements, chunks of tiles.

use crate::error::{Error, Result};
use crate::layout::{ElementParams, Slot};
use crate::limits::{Limits, MAX_ITERATIONS, Tuning};
use crate::plan::window::Window;
use crate::plan::{Dispatch, Plan, Source, Step, furthest, grid, in_one_grid, reduce};
use crate::problem::{Elements, Problem, Reduction, Role};
use crate::shader::{Const, Variant, piece, pieces};
use crate::tensor::{Dtype, View};

/// Dimensions that remain after runs of dimensions are joined.
const MAX_DIMS: usize = 8;

/// A block is the shortest run of inner dimensions of at least this many elements. Tiles do not cross blocks, so an
/// operand that broadcasts over the dimensions outside needs no window longer than a block.
const MIN_BLOCK: u64 = 1 << 20;

/// Places in `base`, `mode` and `strides` of the params; the constants of `shaders/driver/elementwise.wgsl`.
const ORDER: [Slot; 7] = [
    Slot::Input,
    Slot::Target,
    Slot::Third,
    Slot::Weight,
    Slot::GradOutput,
    Slot::Loss,
    Slot::GradInput,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressing {
    Contiguous = 0,
    Single = 1,
    Strided = 2,
}

/// An operand or output as the driver walks it: strides in elements over the joined dimensions, innermost first.
struct Operand {
    slot: Slot,
    role: Role,
    written: bool,
    view: View,
    strides: Vec<u64>,
    addressing: Addressing,
}

struct Grid {
    /// Joined dimensions, innermost first.
    sizes: Vec<u64>,
    block: u64,
    block_tiles: u64,
    tiles: u64,
    tile: u64,
}

impl Grid {
    /// The first element of a tile; the end of the last block for the tile behind the last.
    fn element(&self, tile: u64) -> u64 {
        tile / self.block_tiles * self.block + tile % self.block_tiles * self.tile
    }

    /// Coordinates of an element, innermost first.
    fn coordinates(&self, element: u64) -> Vec<u64> {
        let mut rest = element;
        let coordinate = |&size: &u64| {
            let at = rest % size;
            rest /= size;
            at
        };
        self.sizes.iter().map(coordinate).collect()
    }
}

impl Operand {
    fn index(&self, coordinates: &[u64]) -> u64 {
        coordinates.iter().zip(&self.strides).map(|(c, s)| c * s).sum()
    }

    /// The memory that elements `first..end` touch, in elements of the operand: exact for a contiguous operand, never
    /// too short for others.
    fn run(&self, grid: &Grid, first: u64, end: u64) -> (u64, u64) {
        match self.addressing {
            Addressing::Contiguous => (first, end),
            Addressing::Single => (0, 1),
            Addressing::Strided => {
                let (low, high) = (grid.coordinates(first), grid.coordinates(end - 1));
                let (mut from, mut to, mut joint) = (0, 0, true);
                for d in (0..grid.sizes.len()).rev() {
                    // Outer dimensions in which the run stays put are exact; inside the first in which it moves, any
                    // coordinate may come up.
                    if joint {
                        from += low[d] * self.strides[d];
                        to += high[d] * self.strides[d];
                        joint = low[d] == high[d];
                    } else {
                        to += (grid.sizes[d] - 1) * self.strides[d];
                    }
                }
                (from, to + 1)
            }
        }
    }
}

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

/// The operands over dimensions joined where all of them allow it.
fn operands(problem: &Problem, elements: &Elements) -> Result<(Vec<u64>, Vec<Operand>)> {
    let mode = problem.mode;
    let loss = View::contiguous(Dtype::F32, &problem.input.shape);
    let each = mode.wants_loss() && problem.reduction == Reduction::None;
    let list = [
        (Slot::Input, Role::Input, Some(&problem.input)),
        (Slot::Target, Role::Target, Some(&problem.target)),
        (Slot::Third, Role::PosWeight, elements.third.as_ref()),
        (Slot::Weight, Role::Weight, elements.weight.as_ref()),
        (
            Slot::GradOutput,
            Role::GradOutput,
            problem.grad_output.as_ref().filter(|_| mode.wants_grad()),
        ),
        (Slot::Loss, Role::Loss, Some(&loss).filter(|_| each)),
        (
            Slot::GradInput,
            Role::GradInput,
            Some(&problem.grad_input).filter(|_| mode.wants_grad() && !problem.in_place),
        ),
    ];
    let shape: Vec<u64> = problem.input.shape.iter().map(|&n| n as u64).collect();
    let given: Vec<_> = list
        .into_iter()
        .filter_map(|(slot, role, view)| view.map(|view| (slot, role, view, broadcast_strides(view, &shape))))
        .collect();
    let all: Vec<&[u64]> = given.iter().map(|(.., strides)| strides.as_slice()).collect();
    let joined = join(&shape, &all);
    // Coordinates of a dispatch are 32-bit, and a sum of two of them must not wrap.
    if joined.len() > 1
        && joined
            .iter()
            .any(|group| group.iter().map(|&d| shape[d]).product::<u64>() >= 1 << 31)
    {
        return Err(Error::Limit(format!(
            "broadcasting over a dimension of 2^31 or more in {shape:?}"
        )));
    }
    if joined.len() > MAX_DIMS {
        return Err(Error::Limit(format!(
            "broadcasting over {} dimensions that cannot be joined, at most {MAX_DIMS}",
            joined.len()
        )));
    }
    let sizes: Vec<u64> = joined
        .iter()
        .map(|group| group.iter().map(|&d| shape[d]).product())
        .collect();
    let operands = given
        .iter()
        .map(|(slot, role, view, strides)| {
            // A joined run of dimensions moves by the stride of its innermost.
            let strides: Vec<u64> = joined
                .iter()
                .map(|group| group.last().map_or(0, |&d| strides[d]))
                .collect();
            let mut run = 1;
            let contiguous = sizes.iter().zip(&strides).all(|(&size, &stride)| {
                let fits = stride == run;
                run *= size;
                fits
            });
            let addressing = if strides.iter().all(|&s| s == 0) {
                Addressing::Single
            } else if contiguous {
                Addressing::Contiguous
            } else {
                Addressing::Strided
            };
            Operand {
                slot: *slot,
                role: *role,
                written: matches!(slot, Slot::Loss | Slot::GradInput) || (*slot == Slot::Input && problem.in_place),
                view: (*view).clone(),
                strides,
                addressing,
            }
        })
        .collect();
    Ok((sizes, operands))
}

/// Strides of a view broadcast to `shape`: 0 along dimensions in which it does not move.
fn broadcast_strides(view: &View, shape: &[u64]) -> Vec<u64> {
    let own = view.strides();
    let missing = shape.len() - own.len();
    (0..shape.len())
        .map(|d| match d.checked_sub(missing) {
            Some(k) if view.shape[k] > 1 => own[k],
            _ => 0,
        })
        .collect()
}

/// Groups of neighbouring dimensions over which every operand moves as over one, innermost group first. Dimensions of
/// size 1 belong to none.
fn join(shape: &[u64], operands: &[&[u64]]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for d in (0..shape.len()).rev().filter(|&d| shape[d] > 1) {
        let joins = groups.last().is_some_and(|group| {
            let inner: u64 = group.iter().map(|&k| shape[k]).product();
            operands
                .iter()
                .all(|strides| group.last().is_some_and(|&k| strides[d] == strides[k] * inner))
        });
        match groups.last_mut() {
            // The innermost dimension of a group stays last.
            Some(group) if joins => group.insert(0, d),
            _ => groups.push(vec![d]),
        }
    }
    groups
}

/// Loop iterations of one invocation: the quads of a tile; for each of their elements and each strided operand the walk
/// through the dimensions, once more where it is not taken (see `put_grad_quad` in `shaders/driver/row.wgsl`); the runs of
/// 16 quads; the tree.
fn iterations(operands: &[Operand], dims: usize, tile: u64, tuning: &Tuning) -> u64 {
    let quads = tile / u64::from(4 * tuning.width);
    let walked = operands.iter().filter(|o| o.addressing == Addressing::Strided).count();
    quads * (1 + 4 * (walked * (dims + 1)) as u64) + quads / 16 + 16
}

/// The tuned tile, halved until the loop limit holds: a matter of the operands alone.
fn tile(operands: &[Operand], dims: usize, tuning: &Tuning) -> u64 {
    let mut tile = u64::from(tuning.tile);
    while iterations(operands, dims, tile, tuning) >= MAX_ITERATIONS && tile > u64::from(64 * tuning.width) {
        tile /= 2;
    }
    tile
}

fn block(sizes: &[u64], len: u64) -> u64 {
    let mut block = 1;
    for size in sizes {
        block *= size;
        if block >= MIN_BLOCK {
            return block;
        }
    }
    len
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
