//! Class targets and the weights of rows, as the items of the reduce driver; or counted with the losses of their rows.

use crate::dtype::Dtype;
use crate::error::Result;
use crate::layout::Slot;
use crate::limits::Limits;
use crate::plan::monoid::{COUNT_STATE_BYTES, Monoid, Scale};
use crate::plan::reduce::{Chain, Items, control};
use crate::plan::rows::OPENED_BYTES;
use crate::plan::spread::Spread;
use crate::plan::window::Window;
use crate::plan::{Origin, Plan};
use crate::problem::{Problem, Rows, Targets};
use crate::shader::pieces::Put;
use crate::shader::{Const, Piece, piece, pieces};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::{Mode, Role};

/// Rows of a tile that are counted with their losses, at least.
const MIN_COUNTED_ROWS: u64 = 16;

pub(super) struct Labels<'a> {
    labels: Option<&'a View>,
    weight: Option<(Role, &'a View)>,
    /// Wide rows, with the weights of their labels' classes.
    opened: Option<Origin>,
    sample_weight: Option<&'a View>,
    pub ignore_index: Option<i64>,
    pub classes: u32,
    /// Where the multiplicities of classes go, where the labels of a row are a list: f32, one for each label.
    multiplicities: Option<Origin>,
}

/// Adds the count of class targets, and of the weights of rows, into [`Role::Control`]. Wide rows have been opened.
/// Where targets are lists, their multiplicities come from the same pass: f32, of the input's shape, where the answer
/// says.
pub(super) fn add_count(
    plan: &mut Plan,
    problem: &Problem,
    rows: &Rows,
    opened: Option<Origin>,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<Option<Origin>> {
    let labels = match rows.targets {
        Targets::Index { .. } | Targets::ClassList => problem.view(Slot::Target),
        Targets::None | Targets::Full => None,
    };
    let weight = problem
        .operand(Slot::Weight)
        .filter(|_| rows.counts_weights && labels.is_some());
    let sample_weight = problem.view(Slot::SampleWeight);
    let chain = chain(problem, limits, tuning);
    let items = labels.or(sample_weight).map_or(0, View::len);
    let is_list = rows.targets == Targets::ClassList;
    let multiplicities = is_list.then(|| plan.add_scratch(items * Dtype::F32.bytes()));
    if items == 0 {
        let nothing = plan.add_scratch(0);
        chain.levels(plan, Items::States(nothing), 0)?;
        return Ok(multiplicities);
    }
    let source = Labels {
        labels,
        weight: weight.map(|own| (own.role, &own.view)),
        opened: opened.filter(|_| weight.is_some()),
        sample_weight,
        ignore_index: rows.ignore_index(),
        classes: rows.cols as u32,
        multiplicities,
    };
    chain.levels(plan, Items::Labels(source), items)?;
    Ok(multiplicities)
}

fn chain<'a>(problem: &Problem, limits: &'a Limits, tuning: &'a Tuning) -> Chain<'a> {
    Chain {
        label: "count_labels".into(),
        monoid: Monoid {
            state_bytes: COUNT_STATE_BYTES,
            consts: vec![],
            pieces: &[piece!("state/count.wgsl")],
        },
        scale: Scale::Static(1.0),
        empty: if problem.zero_on_empty { 0.0 } else { f32::NAN },
        power: 1.0,
        result: control(),
        limits,
        tuning,
    }
}

/// The kernel of the losses counts what it reads anyway, where the count is wanted for nothing but their sum, and is a
/// sum of ones: exact in any order, up to 2^24 of them. A tile's count is 32 bytes, so tiles have to have some rows.
pub(super) fn are_counted_on_the_way(problem: &Problem, rows: &Rows, spread: Spread) -> bool {
    let is_index = matches!(rows.targets, Targets::Index { .. });
    let are_weighted = rows.counts_weights && problem.operand(Slot::Weight).is_some();
    is_index
        && problem.mode == Mode::Forward
        && problem.is_reduced()
        && !problem.stats.any()
        && !are_weighted
        && problem.view(Slot::SampleWeight).is_none()
        && spread.rows_per_tile() >= MIN_COUNTED_ROWS
        && rows.rows() <= 1 << 24
}

/// Adds what the tiles of rows have counted into [`Role::Control`].
pub(super) fn add_counted(
    plan: &mut Plan,
    problem: &Problem,
    counts: Origin,
    tiles: u64,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    chain(problem, limits, tuning).levels(plan, Items::States(counts), tiles)
}

impl Labels<'_> {
    /// Those of an item that have to be read and written.
    pub fn bytes(&self) -> u64 {
        let read = [self.labels, self.sample_weight].into_iter().flatten();
        let written = self.multiplicities.map_or(0, |_| Dtype::F32.bytes());
        written + read.map(|view| view.dtype.bytes()).sum::<u64>()
    }

    /// The items whose labels are read for a run of items: where they are lists, those of whole rows.
    pub fn list_run(&self, run: (u64, u64)) -> (u64, u64) {
        let row = match self.multiplicities {
            Some(_) => u64::from(self.classes),
            None => 1,
        };
        (run.0 / row * row, run.1.next_multiple_of(row))
    }

    /// Steps of a lane through lists for one quad: four labels at a time of every row that the quad touches.
    pub fn list_steps(&self) -> u64 {
        let classes = u64::from(self.classes);
        match self.multiplicities {
            None => 0,
            Some(_) if classes.is_multiple_of(4) => classes / 4 + 6,
            Some(_) => 2.max(4 / classes) * (classes.div_ceil(4) + 2) + 4,
        }
    }

    /// The windows of a run of items.
    pub fn windows(&self, run: (u64, u64)) -> Vec<(Slot, bool, Window)> {
        let tensor =
            |slot, role, view: &View, (first, end)| (slot, false, Window::of(view, Origin::Tensor(role), first, end));
        let mut list = Vec::new();
        let labels = |view| tensor(Slot::Target, Role::Target, view, self.list_run(run));
        list.extend(self.labels.map(labels));
        list.extend(self.multiplicities.map(|into| {
            let window = Window::scratch(into, Dtype::F32.bytes(), run.0, run.1);
            (Slot::GradTarget, true, window)
        }));
        list.extend(match (self.opened, self.weight) {
            (Some(opened), _) => Some((Slot::Rows, false, Window::scratch(opened, OPENED_BYTES, run.0, run.1))),
            (None, weight) => weight.map(|(role, view)| tensor(Slot::Weight, role, view, (0, view.len()))),
        });
        let sample_weight = |view| tensor(Slot::SampleWeight, Role::SampleWeight, view, run);
        list.extend(self.sample_weight.map(sample_weight));
        list
    }

    /// Adds what a shader takes to go through them, and says what they are.
    pub fn source(&self, list: &mut Vec<Piece>, consts: &mut Vec<Const>, limits: &Limits, tuning: &Tuning) -> String {
        let weight = self
            .weight
            .filter(|_| self.opened.is_none())
            .map(|(_, view)| view.dtype);
        let sample_weight = self.sample_weight.map(|view| view.dtype);
        list.extend(pieces::half([weight, sample_weight].into_iter().flatten(), limits));
        list.push(pieces::given(Slot::SampleWeight, sample_weight));
        consts.push(Const::Bool("IGNORES", self.ignore_index.is_some()));
        let labels = self.labels.map(|view| view.dtype);
        // As where lanes hold rows: of a GPU. Whole lists go quad by quad.
        let is_beside = tuning.held > 0 && labels.is_some() && self.multiplicities.is_none();
        if labels.is_some() {
            consts.push(Const::Bool("BESIDE", is_beside));
        }
        match labels {
            Some(dtype) => {
                list.extend([
                    pieces::CLASSIFY,
                    pieces::labels(dtype),
                    piece!("total/source_labels.wgsl"),
                ]);
                if self.multiplicities.is_some() {
                    list.push(piece!("labels/lists.wgsl"));
                    list.push(pieces::write(Slot::GradTarget, Dtype::F32, false, Put::Write));
                }
                match self.opened {
                    Some(_) => list.push(piece!("labels/weight_opened.wgsl")),
                    None => list.extend([pieces::CLASS_WEIGHT, pieces::given(Slot::Weight, weight)]),
                }
            }
            None => list.push(piece!("total/source_sample_weight.wgsl")),
        }
        let name = |what, dtype: Option<Dtype>| dtype.map_or(String::new(), |dtype| format!("{what}{dtype}"));
        format!(
            "{}{}{}{}{}{}",
            name("", labels),
            if is_beside { "_beside" } else { "" },
            if self.multiplicities.is_some() { "_lists" } else { "" },
            if self.opened.is_some() {
                "_weight_opened".into()
            } else {
                name("_weight_", weight)
            },
            name("_sample_weight_", sample_weight),
            if self.ignore_index.is_some() { "_ignores" } else { "" }
        )
    }
}
