//! What makes other shader code: a mode, reduced or not, and what goes with it by lot of the seed: flags, optional
//! tensors, the dtype of labels, which gradients. There are few, because a software adapter compiles a pipeline for
//! half a second.

use wgloss::{Dtype, Info, Loss, Mode, OperandKind, OptionInfo, Reduction, Role, Scalar, ScalarKind};
use wgloss_bench::fit::{self, TargetShape};

use super::data::Data;
use crate::parts;

pub struct Flavour {
    pub info: &'static Info,
    pub dtype: Dtype,
    pub mode: Mode,
    pub reductions: Vec<Reduction>,
    pub options: Vec<(&'static str, Scalar)>,
    /// Targets that may be classes or probabilities are classes.
    pub classes: bool,
    pub labels: Dtype,
    /// Of tensors that need not have the input's.
    pub other: Dtype,
    pub given: Vec<Role>,
    pub grad_output: bool,
    pub grads: Vec<Role>,
    pub stats: bool,
    pub broadcasts: bool,
    /// Statistics of rows have upstream gradients.
    pub of_stats: bool,
}

impl Flavour {
    /// Each mode, unreduced and reduced; of a function, twice.
    pub fn all(info: &'static Info, dtype: Dtype, seed: u64) -> Vec<Self> {
        let six = Mode::ALL.into_iter().flat_map(|mode| [(mode, false), (mode, true)]);
        let flavour = |(index, (mode, reduced))| Self::new(info, dtype, seed, index, mode, reduced);
        six.enumerate().map(flavour).collect()
    }

    fn new(info: &'static Info, dtype: Dtype, seed: u64, index: usize, mode: Mode, reduced: bool) -> Self {
        let job = Dtype::FLOATS.iter().position(|own| *own == dtype).unwrap_or_default();
        let mut lot = Data::new(seed, u64::MAX - (8 * job + index) as u64);
        let is_function = parts::is_function(info);
        let fits = |own: &&Reduction| is_function || (**own != Reduction::None) == reduced;
        let options = info.options.iter().filter_map(|option| {
            // In turns, so that each word has its.
            let value = match option.kind {
                ScalarKind::Choice(words) => Some(Scalar::Choice(words[(index + job) % words.len()].into())),
                ScalarKind::Bool => Some(Scalar::Bool(lot.flip())),
                _ => lot.pick(&grid(option)),
            };
            Some((option.name, value?))
        });
        let options = options.collect();
        let classes = lot.below(3) > 0;
        let other = if lot.flip() { Dtype::F32 } else { dtype };
        let given: Vec<Role> = info.tensors.iter().map(|own| own.role).filter(|_| lot.flip()).collect();
        // With ones, the gradient of a softmax vanishes, and leaves only rounding to compare.
        let grad_output = is_function || lot.flip();
        let is_given = |place: usize, role: &Role| place < info.operands.len() || given.contains(role);
        let grads = info
            .graded()
            .filter(|(place, role)| is_given(*place, role) && lot.flip());
        let grads = grads.map(|(_, role)| role).collect();
        Self {
            info,
            dtype,
            mode,
            reductions: info.reductions.iter().filter(fits).copied().collect(),
            options,
            classes,
            labels: Dtype::LABELS[(index % 2 + 2 * job) % Dtype::LABELS.len()],
            other,
            given,
            grad_output,
            grads,
            stats: info.statistics && lot.flip(),
            broadcasts: lot.below(3) == 0,
            of_stats: info.statistics && lot.flip(),
        }
    }

    pub fn rule(&self, shape: &[usize]) -> Option<TargetShape> {
        let matrix = fit::shapes(self.info, shape, TargetShape::WithoutLast);
        if fit::is_layer(self.info) && matrix.iter().any(|own| own.iter().product::<usize>() > LARGEST_LAYER) {
            return None;
        }
        // Among no classes there is none.
        let logits = fit::logits(self.info, shape);
        let has_classes = self
            .info
            .operands
            .iter()
            .any(|own| fit::is_index(own.kind, self.classes));
        if has_classes && logits.get(fit::class_dim(&logits)) == Some(&0) {
            return None;
        }
        let (loss, _) = settled(self.info, self.reductions[0], &self.options);
        let rule = fit::rule(loss.as_ref(), shape, self.classes)?;
        // One lane adds up thousands of a longer row's terms, and what is rounded away grows with them.
        if shape.iter().any(|&n| n > LONGEST_ROW) && !fit::is_elementwise(self.info) {
            return None;
        }
        // Rows of one number are parallel, and of 1 minus their cosine only what PyTorch's epsilon leaves is not
        // rounding.
        let compares_rows = rule != TargetShape::Same && self.info.takes(OperandKind::Sign);
        (!compares_rows || shape.last() != Some(&1)).then_some(rule)
    }
}

/// A loss with the options that go with its reduction and with those before them.
pub fn settled(
    info: &Info,
    reduction: Reduction,
    options: &[(&'static str, Scalar)],
) -> (Box<dyn Loss>, Vec<(&'static str, Scalar)>) {
    let with = |options: &[(&'static str, Scalar)]| {
        let mut loss = (info.new)();
        loss.set_reduction(reduction);
        let set = options.iter().try_for_each(|(name, value)| loss.set(name, value));
        set.and_then(|()| loss.check()).is_ok().then_some(loss)
    };
    let mut kept = Vec::new();
    for option in options {
        kept.push(option.clone());
        if with(&kept).is_none() {
            kept.pop();
        }
    }
    (with(&kept).unwrap_or_else(info.new), kept)
}

/// Elements of a layer's matrix, or of its input.
const LARGEST_LAYER: usize = 1 << 20;

/// A vocabulary.
const LONGEST_ROW: usize = 32_003;

/// Values of a scalar option that are worth a look; none for the default.
pub fn grid(option: &OptionInfo) -> Vec<Option<Scalar>> {
    let floats = |list: &[f64]| list.iter().map(|&x| Some(Scalar::Float(x))).collect();
    match (option.name, option.kind) {
        // Not 1: softmax and a flat target may then cancel in a whole tensor, and leave only rounding to compare.
        ("label_smoothing", _) => floats(&[0.0, 0.0, 0.1, 0.5]),
        ("alpha", _) => floats(&[0.25, -1.0, 0.0, 0.5, 1.0]),
        ("gamma", _) => floats(&[2.0, 0.5, 0.0, 1.0, 5.0]),
        ("z_loss", _) => floats(&[0.0, 1e-2]),
        ("softcap", _) => floats(&[0.0, 0.0, 30.0]),
        ("denominator", _) => vec![None, Some(Scalar::Float(7.5))],
        ("beta" | "delta", _) => floats(&[1.0, 0.3, 2.5]),
        ("margin", _) => floats(&[0.5, 1.0]),
        ("p", ScalarKind::Float) => floats(&[2.0, 1.0, 3.0, f64::INFINITY]),
        ("p", _) => vec![Some(Scalar::Int(1)), Some(Scalar::Int(2))],
        _ => vec![None],
    }
}
