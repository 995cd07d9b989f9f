//! A problem: everything that a run computes, validated. Whoever holds one has found all errors of shape, dtype and
//! option that there are; planning can only fail on limits, recording on what the buffers are.
//!
//! Not promised by semver.

mod linear;

pub use linear::{FILTERED, Linear, Moved};

use crate::definition::{At, ElementDefinition, Elementwise, PairDefinition, RowDefinition};
use crate::dtype::Dtype;
use crate::inspect::Check;
use crate::layout::Slot;
use crate::scalars::Scalars;
use crate::shader::{Const, Piece, piece, pieces};
use crate::view::View;
use crate::words::{Mode, ReduceOp, Reduction, Role, Rule, Stats};

/// A tensor that a problem reads.
#[derive(Clone, Debug)]
pub struct Operand {
    pub role: Role,
    pub slot: Slot,
    pub view: View,
    /// Where its gradient goes, if that is wanted: of the operand's shape.
    pub grad: Option<View>,
}

/// What the sum is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divisor {
    /// A number known before the run; 1 for none and sum.
    Known(f64),
    /// The caller's own number, an option of the loss.
    Given(f64),
    /// What the class targets and the weights of the rows add up to, counted on the device.
    Counted,
}

/// A validated problem.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The loss's stem.
    pub name: &'static str,
    pub mode: Mode,
    pub reduction: Reduction,
    pub divisor: Divisor,
    /// The mean of nothing is 0, not NaN.
    pub zero_on_empty: bool,
    pub family: Family,
    /// The tensors of the signature in its order, then the optional ones.
    pub operands: Vec<Operand>,
    /// The shape of the losses before the reduction.
    pub terms: Vec<usize>,
    /// Of the result without a reduction.
    pub dtype: Dtype,
    pub grad_output: Option<View>,
    /// Upstream gradients of rows' statistics, one number for each row.
    pub grad_stats: Vec<(Role, View)>,
    /// The first operand's gradient goes over it.
    pub in_place: bool,
    /// Gradients are added to what their memory holds.
    pub accumulates: bool,
    pub stats: Stats,
    /// Where the caller wants results other than gradients, which are in the operands.
    pub placed: Vec<(Role, View)>,
    /// Inspections of the operands, the one to be reported first in front.
    pub checks: Vec<Check>,
    pub scalars: Scalars,
}

#[derive(Clone, Debug)]
pub enum Family {
    Rows(Rows),
    Elements(Elements),
    Pairs(Pairs),
}

/// Losses of the rows of a (slabs, cols, inner) array, or, as a map, rows for rows.
#[derive(Clone, Debug)]
pub struct Rows {
    pub slabs: usize,
    pub cols: usize,
    pub inner: usize,
    pub targets: Targets,
    /// The dimension of the columns stays in the result, with size 1.
    pub keeps_dim: bool,
    /// The statistics pass reads the rows.
    pub reads: bool,
    /// So does what is written of a column.
    pub grad_reads: bool,
    /// What it collects.
    pub state: &'static [Piece],
    /// Slot functions of the row driver.
    pub pieces: Vec<Piece>,
    pub consts: Vec<Const>,
    /// Part of the pipeline label: which options change code.
    pub kind: String,
    /// Loop iterations of the loss's own for each four columns.
    pub inner_loops: u64,
    /// Every column has its class's weight in the loss, not only the label's.
    pub weighs_columns: bool,
    /// The gradient of a column follows from exp(x - peak): packs keep that in the place of x.
    pub keeps_exps: bool,
    /// Where elements may have weights of their own, whether they have: of a shape that broadcasts to the input's.
    pub element_weights: Option<bool>,
    /// `mean` divides by the weights of the classes, not the rows kept.
    pub counts_weights: bool,
    /// What comes of a row of a single number, whatever that is.
    pub alone: Option<f64>,
    /// One row of everything, whose result the reduce driver finds in many tiles.
    pub whole: Option<ReduceOp>,
    /// The dimensions of a row's columns, where others lie between them. Then `inner` counts all rows behind the first
    /// of those dimensions.
    pub scattered: Option<Scattered>,
    /// The rows are products of the input, which nobody has in memory: columns and targets are those of the products.
    pub linear: Option<Linear>,
    /// Rows side by side in a full target whose rows do not lie as those of the input.
    pub heads: usize,
    /// In f64.
    pub definition: RowDefinition,
}

/// Columns that lie along several dimensions of the input with others between them.
#[derive(Clone, Debug)]
pub struct Scattered {
    /// Ascending.
    pub dims: Vec<usize>,
    /// What becomes of a row: only reductions are computed run by run.
    pub op: ReduceOp,
}

/// The statistics of the softmax family.
pub(crate) const SOFTMAX: &[Piece] = &[piece!("state/softmax.wgsl"), piece!("state/push_softmax.wgsl")];

impl Default for Rows {
    fn default() -> Self {
        Self {
            slabs: 0,
            cols: 0,
            inner: 0,
            targets: Targets::None,
            keeps_dim: false,
            reads: true,
            grad_reads: true,
            state: SOFTMAX,
            pieces: Vec::new(),
            consts: Vec::new(),
            kind: String::new(),
            inner_loops: 0,
            weighs_columns: false,
            element_weights: None,
            keeps_exps: false,
            counts_weights: false,
            alone: None,
            whole: None,
            scattered: None,
            linear: None,
            heads: 1,
            definition: RowDefinition::Map(|_, _| {}),
        }
    }
}

impl Rows {
    pub fn rows(&self) -> u64 {
        self.slabs as u64 * self.inner as u64
    }

    /// The sum or the mean of everything.
    pub(crate) fn is_sum_of_all(&self) -> bool {
        matches!(self.whole, Some(ReduceOp::Sum | ReduceOp::Mean))
    }

    /// The same for a gradient alone that does not ask what the columns are.
    pub(crate) fn unread(&self) -> Self {
        Self {
            reads: false,
            grad_reads: false,
            kind: format!("{}/unread", self.kind),
            ..self.clone()
        }
    }

    /// The result has a row for each row of the input.
    pub fn is_map(&self) -> bool {
        matches!(self.definition, RowDefinition::Map(_))
    }

    /// The weights of single elements, of a shape that broadcasts to the input's.
    pub fn element_weights<'a>(&self, problem: &'a Problem) -> Option<&'a Operand> {
        problem
            .operand(Slot::Weight)
            .filter(|_| self.element_weights == Some(true))
    }

    pub fn ignore_index(&self) -> Option<i64> {
        match self.targets {
            Targets::Index { ignore_index } => ignore_index,
            Targets::ClassList => Some(-1),
            Targets::None | Targets::Full => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    None,
    /// A class for each row.
    Index {
        ignore_index: Option<i64>,
    },
    /// Several classes for each row, ended by -1.
    ClassList,
    /// A number for each class of each row.
    Full,
}

/// Losses of single elements, with operands that broadcast.
#[derive(Clone, Debug)]
pub struct Elements {
    pub piece: Piece,
    pub consts: Vec<Const>,
    pub kind: String,
    /// The slot functions have branches.
    pub branches: bool,
    /// A NaN operand makes every gradient NaN; else the slot functions say themselves what it does.
    pub nan_grads: bool,
    /// Finite numbers make finite results, however large: one that f32 does not hold is 0 after a factor of 0.
    pub finite: bool,
    /// The operands broadcast against each other; else they are of one shape.
    pub broadcasts: bool,
    /// The rule that the slot functions know of the input: the driver itself inspects it, on the way.
    pub input_rule: Option<Rule>,
    /// In f64.
    pub definition: &'static dyn ElementDefinition,
}

impl Default for Elements {
    fn default() -> Self {
        Self {
            piece: pieces::MATH,
            consts: Vec::new(),
            kind: String::new(),
            branches: false,
            nan_grads: true,
            finite: false,
            broadcasts: true,
            input_rule: None,
            definition: &Elementwise([false; 3], undefined),
        }
    }
}

fn undefined(_: f64, _: f64, _: f64, _: &Scalars) -> At {
    At {
        loss: f64::NAN,
        grads: [f64::NAN; 3],
    }
}

/// Losses of two or three arrays of rows, which lie contiguous.
#[derive(Clone, Debug)]
pub struct Pairs {
    pub rows: usize,
    pub cols: usize,
    pub piece: Piece,
    pub consts: Vec<Const>,
    pub kind: String,
    /// In f64.
    pub definition: PairDefinition,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            rows: 0,
            cols: 0,
            piece: pieces::MATH,
            consts: Vec::new(),
            kind: String::new(),
            definition: |_, out| out.loss = f64::NAN,
        }
    }
}

impl Problem {
    /// A forward problem without a reduction or options, in f32: what plans are made of besides losses.
    pub(crate) fn unreduced(name: &'static str, family: Family, operands: Vec<Operand>, terms: &[usize]) -> Self {
        Self {
            name,
            mode: Mode::Forward,
            reduction: Reduction::None,
            divisor: Divisor::Known(1.0),
            zero_on_empty: false,
            family,
            operands,
            terms: terms.to_vec(),
            dtype: Dtype::F32,
            grad_output: None,
            grad_stats: Vec::new(),
            in_place: false,
            accumulates: false,
            stats: Stats::default(),
            placed: Vec::new(),
            checks: Vec::new(),
            scalars: Scalars::NONE,
        }
    }

    /// The same on tensors that all begin within the first `step` bytes of their memory: what plans that are used again
    /// are made for, wherever an allocator moves the tensors to.
    pub(crate) fn behind_bases(mut self, step: u64) -> Self {
        let operands = self.operands.iter_mut();
        let views = operands.flat_map(|own| [Some(&mut own.view), own.grad.as_mut()].into_iter().flatten());
        let placed = self.placed.iter_mut().map(|(_, view)| view);
        let of_stats = self.grad_stats.iter_mut().map(|(_, view)| view);
        for view in views.chain(placed).chain(&mut self.grad_output).chain(of_stats) {
            view.offset -= view.base(step);
        }
        self
    }

    /// Losses before the reduction.
    pub fn term_count(&self) -> u64 {
        self.terms.iter().map(|&n| n as u64).product()
    }

    /// What every term is, whatever the numbers of the input: a softmax of a single class is 1, and its loss 0.
    pub fn constant(&self) -> Option<f64> {
        let is_alone = |rows: &&Rows| rows.cols == 1 && self.term_count() > 0;
        self.rows().filter(is_alone).and_then(|rows| rows.alone)
    }

    pub fn is_reduced(&self) -> bool {
        self.reduction != Reduction::None
    }

    pub fn loss_shape(&self) -> &[usize] {
        if self.is_reduced() { &[] } else { &self.terms }
    }

    pub fn loss_dtype(&self) -> Dtype {
        if self.is_reduced() { Dtype::F32 } else { self.dtype }
    }

    /// The reduction's factor where the divisor is known before the run.
    pub fn static_scale(&self) -> f64 {
        match self.divisor {
            Divisor::Known(0.0) if self.zero_on_empty => 0.0,
            Divisor::Known(divisor) | Divisor::Given(divisor) => 1.0 / divisor,
            Divisor::Counted => 1.0,
        }
    }

    /// Elements between one row and the next, of the tensor where these are the most.
    pub fn widest_gap(&self) -> usize {
        let operands = self.operands.iter().map(|own| &own.view);
        let grads = self.grads().map(|(_, _, view)| view);
        let views = operands.chain(grads).chain(&self.grad_output);
        views.map(View::gap).max().unwrap_or(0)
    }

    pub fn is_counted(&self) -> bool {
        self.divisor == Divisor::Counted
    }

    /// Something is counted before the losses, or with them: labels, for their faults, or weights, for the divisor.
    pub fn has_control(&self) -> bool {
        self.is_counted() || self.operand(Slot::SampleWeight).is_some() || self.traits().has_classes
    }

    /// The inspection that the elementwise driver makes on the way: its place and itself. It looks twice where it has
    /// to, which it cannot where the gradient goes over the input.
    pub fn check_on_the_way(&self) -> Option<(usize, &Check)> {
        let Family::Elements(elements) = &self.family else {
            return None;
        };
        if self.in_place {
            return None;
        }
        let own = |check: &Check| check.role == self.operands[0].role && Some(check.rule) == elements.input_rule;
        self.checks.iter().enumerate().find(|(_, check)| own(check))
    }

    pub fn operand(&self, slot: Slot) -> Option<&Operand> {
        self.operands.iter().find(|operand| operand.slot == slot)
    }

    pub fn view(&self, slot: Slot) -> Option<&View> {
        self.operand(slot).map(|operand| &operand.view)
    }

    /// The dtype that an operand, or the upstream gradient, is taken for: of integers where floats are expected, the
    /// floats.
    pub fn dtype_of(&self, role: Role) -> Option<Dtype> {
        let upstream = self.upstream(role);
        let own = self.operands.iter().find(|own| own.role == role);
        own.map(|own| &own.view).or(upstream).map(|view| view.dtype)
    }

    /// The first tensor of the signature, which every loss has.
    pub fn input(&self) -> &View {
        &self.operands[0].view
    }

    /// The operands whose gradients are computed, with where those go: operand, role and view.
    pub fn grads(&self) -> impl Iterator<Item = (&Operand, Role, &View)> {
        self.operands.iter().enumerate().filter_map(|(place, operand)| {
            operand
                .grad
                .as_ref()
                .map(|view| (operand, Role::Grad(place as u8), view))
        })
    }

    /// The layout of a result of the call, where it gives that.
    pub fn result(&self, role: Role) -> Option<View> {
        self.results().find(|(own, _)| *own == role).map(|(_, view)| view)
    }

    /// The role of a result, of which a caller names gradients by their operands.
    pub(crate) fn result_role(&self, role: Role) -> Role {
        let place = self.operands.iter().position(|own| own.role == role);
        place.map_or(role, |place| Role::Grad(place as u8))
    }

    /// What messages call a result that has a place of the caller's.
    pub(crate) fn place_name(&self, role: Role) -> &'static str {
        match role {
            Role::Grad(0) => "grad_input",
            Role::Grad(_) => self.named(role).grad_name(),
            own => own.name(),
        }
    }

    /// The role that callers know a result by: gradients but the first by those of their operands.
    pub(crate) fn named(&self, role: Role) -> Role {
        match role {
            Role::Grad(0) => role,
            Role::Grad(nth) => self.operands.get(usize::from(nth)).map_or(role, |own| own.role),
            own => own,
        }
    }

    /// Bytes before a result in its memory.
    pub(crate) fn offset_of(&self, role: Role) -> u64 {
        let own = self.placed.iter().find(|(own, _)| *own == role);
        own.map_or(0, |(_, view)| view.offset)
    }

    /// The results of the call that are tensors of their own, as they lie where they have no place of the caller's.
    pub fn results(&self) -> impl Iterator<Item = (Role, View)> {
        let (stats, loss) = (self.stats, self.loss_shape());
        let own = [
            (self.mode.wants_loss(), Role::Loss, self.loss_dtype(), loss),
            (stats.z_loss, Role::ZLoss, Dtype::F32, loss),
            (stats.lse, Role::Lse, Dtype::F32, &self.terms),
            (stats.entropy, Role::Entropy, Dtype::F32, &self.terms),
            (stats.argmax, Role::Argmax, Dtype::U32, &self.terms),
        ];
        let own = own.into_iter().filter(|(wanted, ..)| *wanted);
        let own = own.map(|(_, role, dtype, shape)| (role, View::contiguous(dtype, shape)));
        own.chain(
            self.grads()
                .map(|(_, role, view)| (role, View::contiguous(view.dtype, &view.shape))),
        )
    }

    /// The operands that the kernels of a problem read; those of the products that logits are, other kernels do.
    pub fn read(&self) -> impl Iterator<Item = &Operand> {
        self.operands.iter().filter(|own| !own.slot.is_of_product())
    }

    /// The dtypes of these, and of upstream gradients.
    pub fn dtypes(&self) -> impl Iterator<Item = Dtype> {
        let own = self.read().map(|operand| operand.view.dtype);
        let of_stats = self.grad_stats.iter().map(|(_, view)| view.dtype);
        own.chain(self.grad_output.as_ref().map(|view| view.dtype))
            .chain(of_stats)
    }

    /// An upstream gradient: of the loss, or of a statistic.
    pub fn upstream(&self, role: Role) -> Option<&View> {
        match role {
            Role::GradOutput => self.grad_output.as_ref(),
            _ => self
                .grad_stats
                .iter()
                .find(|(own, _)| *own == role)
                .map(|(_, view)| view),
        }
    }
}
