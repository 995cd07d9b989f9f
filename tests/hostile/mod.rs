//! What a compiler with fast math would leave of our guards is wrong, and what it gets holds no bound that it knows.
//!
//! A guard is a call of a function of `shaders/math/guard.wgsl`. Each is taken away, one by one, and a trial has to see
//! it missed against the reference, which accepts all trials on shaders as they are.

mod regrouped;
mod trials;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use wgloss::Engine;
use wgloss::shader::{Piece, Variant};

use crate::common::{engine, takes};
use trials::{Trial, trials};

const GUARDS: &str = include_str!("../../shaders/math/guard.wgsl");

/// What parentheses hold together, and what fast math may make of the line: `whole` by itself says nothing, but a
/// compiler that does not see it regroups. (Subnormal numbers are 0 there, as on most GPUs.)
const REGROUPED: &[(&str, &str, &str)] = &[
    (
        "loss/cross_entropy.wgsl",
        "z_pull(z_share(), lse) * lse",
        "z_share() * (lse * lse)",
    ),
    (
        "loss/gaussian_nll.wgsl",
        "(ln(v) + d * whole(d / v))",
        "(ln(v) + d * d / v)",
    ),
    (
        "loss/gaussian_nll.wgsl",
        "ratio = d * whole(d / v)",
        "ratio = d * d / v",
    ),
    (
        "loss/gaussian_nll.wgsl",
        "(whole(v - lead * lead) - (d - lead) * (d + lead))",
        "(v - (lead * lead + (d - lead) * (d + lead)))",
    ),
    ("loss/poisson_nll.wgsl", "(whole(t - x) - eps())", "(t - (x + eps()))"),
    (
        "loss/poisson_nll.wgsl",
        "(whole(0.5 * t) + 0.5 * (x + eps()))",
        "(0.5 * (t + (x + eps())))",
    ),
    (
        "loss/smooth_l1.wgsl",
        "0.5 * size * whole(size / beta())",
        "0.5 * size * size / beta()",
    ),
    (
        "math/math.wgsl",
        "(whole(scale - t) + scale * head)",
        "((scale + scale * head) - t)",
    ),
    (
        "state/norm.wgsl",
        "a.sum * powered(whole(a.peak * u.shrink) * u.one)",
        "a.sum * powered(a.peak * select(u.shrink * u.one, 0.0, u.shrink * u.one < 1.1754944e-38))",
    ),
    (
        "state/norm.wgsl",
        "b.sum * powered(whole(b.peak * u.shrink) * u.one)",
        "b.sum * powered(b.peak * select(u.shrink * u.one, 0.0, u.shrink * u.one < 1.1754944e-38))",
    ),
    (
        "state/norm.wgsl",
        "s.sum * powered(whole(s.peak * u.shrink) * u.one)",
        "s.sum * powered(s.peak * select(u.shrink * u.one, 0.0, u.shrink * u.one < 1.1754944e-38))",
    ),
    (
        "state/norm.wgsl",
        "whole4(kept * u.shrink) * u.one",
        "kept * select(u.shrink * u.one, 0.0, u.shrink * u.one < 1.1754944e-38)",
    ),
];

/// Guards that no trial can miss here, and why they stand.
const WAIVED: &[(&str, &str, &str)] = &[
    (
        "loss/cosine_embedding.wgsl",
        "is_nan(w.cos) & (abs",
        "NaN comes by 0 times NaN, too: but fast math makes a choice of `select(0.0, 1.0, c) * x`, whose other is 0",
    ),
    (
        "state/softmax_grads.wgsl",
        "is_zero(row.of_p)",
        "of a NaN and a number, `min` gives the number here; it may give the NaN, and 0 times that is no 0",
    ),
    ("state/softmax_grads.wgsl", "is_zero(row.of_heat)", "as that beside it"),
    (
        "state/softmax_dot.wgsl",
        "marks_nan(s.bits)",
        "NaN comes by its exponential, too: but fast math may take `x == top` for true where x is NaN, which \
         leaves it out",
    ),
];

/// A change of a file of `shaders/`: what stands at a place becomes something else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Mutant {
    path: String,
    at: usize,
    len: usize,
    instead: String,
    /// Of the file, for who reads a failure.
    line: usize,
    was: String,
    behind: String,
}

impl Mutant {
    fn new(path: &str, text: &str, at: usize, len: usize, instead: String) -> Self {
        Self {
            path: path.into(),
            at,
            len,
            instead,
            line: text[..at].lines().count().max(1),
            was: text[at..at + len].into(),
            behind: text[at..].lines().next().unwrap_or_default().into(),
        }
    }

    fn of_piece(&self, piece: &Piece) -> Piece {
        if piece.path != self.path {
            return *piece;
        }
        let mut text = piece.text.to_owned();
        text.replace_range(self.at..self.at + self.len, &self.instead);
        Piece {
            text: Box::leak(text.into_boxed_str()),
            ..*piece
        }
    }

    fn of_variant(&self, variant: &Variant) -> Variant {
        Variant {
            pieces: variant.pieces.iter().map(|piece| self.of_piece(piece)).collect(),
            ..variant.clone()
        }
    }

    /// It changes what a device gets.
    fn reaches(&self, variant: &Variant) -> bool {
        variant.pieces.iter().any(|piece| piece.path == self.path)
            && self.of_variant(variant).compose().text != variant.compose().text
    }

    /// The text from its place on begins so.
    fn stands_in(&self, text: &str) -> bool {
        self.behind.starts_with(text)
    }

    fn told(&self) -> String {
        format!(
            "shaders/{}:{}: `{}` as `{}`",
            self.path, self.line, self.was, self.instead
        )
    }
}

/// The guards by name, with what fast math leaves of a call: a value of its own, or else its argument.
fn guards() -> Vec<(&'static str, Option<&'static str>)> {
    let of_line = |line: &'static str| {
        let (name, rest) = line.strip_prefix("fn ")?.split_once('(')?;
        let result = rest.split_once("-> ")?.1.trim_end_matches(" {");
        Some((
            name,
            match (name, result) {
                ("bits_of", _) => return None, // of the guards themselves
                ("is_finite", _) => Some("true"),
                ("is_finite4", _) => Some("vec4<bool>(true)"),
                (_, "bool") => Some("false"),
                (_, "vec4<bool>") => Some("vec4<bool>(false)"),
                _ => None,
            },
        ))
    };
    GUARDS.lines().filter_map(of_line).collect()
}

/// The places of a file where a function is called, with the length of the call.
fn calls(text: &str, name: &str) -> Vec<(usize, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let call = format!("{name}(");
    let places = text.match_indices(&call).map(|(at, _)| at);
    let is_call = |at: &usize| {
        let line = text[..*at].rfind('\n').map_or(0, |end| end + 1);
        let before = &text[line..*at];
        !before.ends_with(is_word) && !before.contains("//") && !before.ends_with("fn ")
    };
    let end = |at: usize| {
        let mut depth = 0;
        let close = text[at..].find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ')' && depth == 0
        });
        close.expect("a call that ends") + 1
    };
    places.filter(is_call).map(|at| (at, end(at))).collect()
}

/// Every file of `shaders/` but that of the guards.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut list = Vec::new();
    for folder in std::fs::read_dir(&root).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            if name.ends_with(".wgsl") && name != "math/guard.wgsl" {
                list.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    list.sort();
    list
}

/// Each guard's call without it.
fn mutants() -> Vec<Mutant> {
    let mut list = Vec::new();
    for (path, text) in files() {
        let mut wholes = 0;
        for (name, instead) in guards() {
            for (at, len) in calls(&text, name) {
                if name.starts_with("whole") {
                    wholes += 1;
                    continue;
                }
                let argument = &text[at + name.len()..at + len];
                let instead = instead.unwrap_or(argument).to_owned();
                list.push(Mutant::new(&path, &text, at, len, instead));
            }
        }
        let regrouped: Vec<_> = REGROUPED.iter().filter(|(own, ..)| *own == path).collect();
        assert_eq!(
            regrouped.len(),
            wholes,
            "{path}: {wholes} calls of whole, regrouped otherwise in {}",
            regrouped.len()
        );
        for (_, was, instead) in regrouped {
            let at = text.find(was).unwrap_or_else(|| panic!("{path} has no `{was}`"));
            list.push(Mutant::new(&path, &text, at, was.len(), (*instead).into()));
        }
    }
    list
}

/// The variants that a trial makes.
fn variants_of(trial: &Trial) -> Vec<Variant> {
    let seen: Arc<Mutex<Vec<Variant>>> = Arc::default();
    let mut own = engine::fresh();
    let list = Arc::clone(&seen);
    own.alter_shaders(move |variant| {
        list.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(variant.clone());
        variant.clone()
    });
    let failures = (trial.run)(&own);
    assert!(failures.is_empty(), "{}, as it is: {failures:?}", trial.name);
    let list = seen.lock().unwrap_or_else(PoisonError::into_inner);
    list.clone()
}

#[test]
fn each_guard_is_missed() {
    let all = mutants();
    assert!(all.len() > 60, "only {} guards", all.len());
    let trials: Vec<(Trial, Vec<Variant>)> = trials()
        .into_par_iter()
        .map(|trial| {
            let variants = variants_of(&trial);
            (trial, variants)
        })
        .collect();
    let waived = |own: &Mutant| {
        WAIVED
            .iter()
            .any(|(path, was, _)| own.path == *path && own.stands_in(was))
    };
    let chosen: Vec<&Mutant> = (all.iter().enumerate())
        .filter(|(n, own)| takes(*n, 4) && !waived(own))
        .map(|(_, own)| own)
        .collect();
    let failures: Vec<String> = chosen
        .par_iter()
        .map_init(engine::fresh, |engine: &mut Engine, own| {
            let reached: Vec<&Trial> = (trials.iter())
                .filter(|(_, variants)| variants.iter().any(|variant| own.reaches(variant)))
                .map(|(trial, _)| trial)
                .collect();
            let mutant = (*own).clone();
            engine.alter_shaders(move |variant| mutant.of_variant(variant));
            if reached.iter().any(|trial| !(trial.run)(engine).is_empty()) {
                return None;
            }
            let names: Vec<_> = reached.iter().map(|trial| trial.name).collect();
            Some(format!("{} is missed by none of {names:?}", own.told()))
        })
        .flatten()
        .collect();
    crate::common::report(failures, chosen.len());
}

#[test]
fn waived_guards_are_there() {
    let all = mutants();
    for (path, was, why) in WAIVED {
        assert!(
            all.iter().any(|own| own.path == *path && own.stands_in(was)),
            "{path}: {was}"
        );
        assert!(!why.is_empty());
    }
}

/// No text has the least number of f32, nor asks for a quad's -inf by a comparison with it.
#[test]
fn no_file_knows_the_least_number() {
    for (path, text) in files()
        .into_iter()
        .chain([("math/guard.wgsl".to_owned(), GUARDS.to_owned())])
    {
        let code: String = text
            .lines()
            .flat_map(|line| [line.split("//").next().unwrap(), "\n"])
            .collect();
        assert!(!code.contains("3.402823"), "{path}");
    }
    let names: BTreeSet<_> = guards().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains("floored") && names.contains("is_neg_inf"), "{names:?}");
}
