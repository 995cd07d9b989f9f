//! Operands that broadcast: dimensions joined where all operands allow it, the grid of tiles over them, and the memory
//! that a run of elements touches.

use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::plan::{Origin, Plan, plan as plan_of};
use crate::problem::{Elements, Family, Problem};
use crate::shader::piece;
use crate::tuning::{LEAF, Tuning, runs_of_four};
use crate::view::View;
use crate::words::Role;

/// Dimensions that remain after runs of dimensions are joined.
const MAX_DIMS: usize = 8;

/// A block is the shortest run of inner dimensions of at least this many elements. Tiles do not cross blocks, so an
/// operand that broadcasts over the dimensions outside needs no window longer than a block.
const MIN_BLOCK: u64 = 1 << 20;

/// Places in `base` and `strides` of the params; the constants of `shaders/driver/elementwise.wgsl`.
pub const ORDER: [Slot; 9] = [
    Slot::Input,
    Slot::Target,
    Slot::Third,
    Slot::Weight,
    Slot::GradOutput,
    Slot::Loss,
    Slot::GradInput,
    Slot::GradTarget,
    Slot::GradThird,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    Contiguous,
    /// One element for all.
    Single,
    Strided,
}

/// An operand or output as the driver walks it: strides in elements over the joined dimensions, innermost first.
pub struct Walked {
    pub slot: Slot,
    pub source: Origin,
    pub written: bool,
    pub view: View,
    pub strides: Vec<u64>,
    pub addressing: Addressing,
}

pub struct Grid {
    /// Joined dimensions, innermost first.
    pub sizes: Vec<u64>,
    pub block: u64,
    pub block_tiles: u64,
    pub tiles: u64,
    pub tile: u64,
}

impl Grid {
    /// The first element of a tile; the end of the last block for the tile behind the last.
    pub fn element(&self, tile: u64) -> u64 {
        tile / self.block_tiles * self.block + tile % self.block_tiles * self.tile
    }

    /// Coordinates of an element, innermost first.
    pub fn coordinates(&self, element: u64) -> Vec<u64> {
        let mut rest = element;
        let coordinate = |&size: &u64| {
            let at = rest % size;
            rest /= size;
            at
        };
        self.sizes.iter().map(coordinate).collect()
    }
}

impl Walked {
    /// Every quad of it is aligned and whole.
    pub fn quads(&self, grid: &Grid) -> bool {
        self.addressing == Addressing::Contiguous
            && grid.block.is_multiple_of(4)
            && self.view.offset.is_multiple_of(4 * self.view.dtype.bytes())
    }

    pub fn index(&self, coordinates: &[u64]) -> u64 {
        coordinates.iter().zip(&self.strides).map(|(c, s)| c * s).sum()
    }

    /// The memory that elements `first..end` touch, in elements of the operand: exact for a contiguous operand, never
    /// too short for others.
    pub fn run(&self, grid: &Grid, first: u64, end: u64) -> (u64, u64) {
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

/// The operands over dimensions joined where all of them allow it. `grads` are the gradients, each of the shape of the
/// losses: those of operands that broadcast lie in scratch.
pub fn operands(problem: &Problem, grads: &[(Slot, Origin, View)]) -> Result<(Vec<u64>, Vec<Walked>)> {
    let mode = problem.mode;
    let mut list: Vec<(Slot, Origin, View)> = problem
        .operands
        .iter()
        .map(|own| (own.slot, Origin::Tensor(own.role), own.view.clone()))
        .collect();
    if let Some(view) = problem.grad_output.as_ref().filter(|_| mode.wants_grad()) {
        list.push((Slot::GradOutput, Origin::Tensor(Role::GradOutput), view.clone()));
    }
    if mode.wants_loss() && !problem.is_reduced() {
        let view = View::placed(problem.dtype, &problem.terms, problem.offset_of(Role::Loss));
        list.push((Slot::Loss, Origin::Tensor(Role::Loss), view));
    }
    list.extend(grads.iter().cloned());
    let shape: Vec<u64> = problem.terms.iter().map(|&n| n as u64).collect();
    let given: Vec<_> = list
        .into_iter()
        .map(|(slot, source, view)| {
            let strides = broadcast_strides(&view, &shape);
            (slot, source, view, strides)
        })
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
        .map(|(slot, source, view, strides)| {
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
            Walked {
                slot: *slot,
                source: *source,
                written: matches!(slot, Slot::Loss | Slot::GradInput | Slot::GradTarget | Slot::GradThird)
                    || (*slot == Slot::Input && problem.in_place),
                view: view.clone(),
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

/// Loop iterations of one invocation, at most: the quads of a tile; for each of their elements (one walk is enough for
/// a quad, but tiles that grew would change bits) and each strided operand the walk through the dimensions, once more
/// where it is not taken (see `put_grad_quad` in `shaders/driver/row.wgsl`); the runs
/// of four; the trees. What is inspected on the way is walked twice.
pub fn iterations(operands: &[Walked], dims: usize, tile: u64, tuning: &Tuning, inspects: bool) -> u64 {
    let quads = tile / u64::from(4 * tuning.width);
    let strided = |o: &&Walked| o.addressing == Addressing::Strided;
    let walked = operands.iter().filter(strided).count();
    let again = operands.iter().filter(|o| inspects && o.slot == Slot::Input);
    let (looks, rewalked) = (again.clone().count(), again.filter(strided).count());
    quads * ((1 + looks) + 4 * (walked + rewalked) * (dims + 1)) as u64 + runs_of_four(quads) + 16
}

/// The smallest tile.
pub fn smallest_tile(tuning: &Tuning) -> u64 {
    match tuning.workgroups {
        0 => u64::from(LEAF * tuning.width),
        _ => u64::from(4 * tuning.width),
    }
}

/// The tile of so many elements, halved until the loop limit holds: a matter of shape, dtypes and tuning, and not of
/// what is asked for, so that a loss is the same with its gradient and without.
pub fn tile(problem: &Problem, operands: &[Walked], dims: usize, tuning: &Tuning, inspects: bool) -> u64 {
    let len = problem.term_count();
    let full = problem.operands.iter().filter(|own| own.view.len() == len);
    let bytes: u64 = full.map(|own| own.view.dtype.bytes()).sum();
    // As if all gradients and each loss were wanted, with an upstream gradient for each.
    let mut tile = tuning.tile_of(len, 2 * bytes + 8);
    while iterations(operands, dims, tile, tuning, inspects) >= MAX_ITERATIONS && tile > smallest_tile(tuning) {
        tile /= 2;
    }
    tile
}

pub fn block(sizes: &[u64], len: u64) -> u64 {
    let mut block = 1;
    for size in sizes {
        block *= size;
        if block >= MIN_BLOCK {
            return block;
        }
    }
    len
}

/// Adds a copy of an operand in the shape that it broadcasts to, as f32 in scratch.
pub(super) fn add_copy(
    plan: &mut Plan,
    operand: &crate::problem::Operand,
    shape: &[usize],
    limits: &Limits,
    tuning: &Tuning,
) -> Result<Origin> {
    let own = crate::problem::Operand {
        role: Role::Input,
        slot: Slot::Input,
        ..operand.clone()
    };
    let elements = Elements {
        piece: piece!("loss/broadcast.wgsl"),
        ..Elements::default()
    };
    let problem = Problem::unreduced("broadcast", Family::Elements(elements), vec![own], shape);
    let to = plan.add_scratch(problem.term_count() * 4);
    plan.append(plan_of(&problem, limits, tuning)?, |role| match role {
        Role::Input => Origin::Tensor(operand.role),
        _ => to,
    });
    Ok(to)
}
