//! What other compilers make of them, and that validators are awake.

use std::collections::BTreeSet;
use std::process::Command;

use rayon::prelude::*;
use wgloss::layout::Slot;
use wgloss::plan::{Binding, Dispatch, Origin, probes};
use wgloss::shader::Variant;
use wgloss::{REGISTRY, Reduction};

use super::variants::{covering, of_subgroups, variants};
use super::{claim, is_shuffled, parse};
use crate::common::is_long;

/// What other compilers get.
#[test]
fn naga_translates_variants() {
    claim(covering().to_vec(), |dispatch, module, info| {
        let label = &dispatch.variant.label;
        naga::back::spv::write_vec(module, info, &Default::default(), None).map_err(|e| format!("{label}: {e}"))?;
        let msl = metal(module, info).map_err(|e| format!("{label}: {e}"))?;
        if bounds_by_the_least(&msl) {
            return Err(format!("{label}: Metal gets a bound that fast math knows to be none"));
        }
        let mut hlsl = String::new();
        let (options, pipeline) = (naga::back::hlsl::Options::default(), Default::default());
        naga::back::hlsl::Writer::new(&mut hlsl, &options, &pipeline)
            .write(module, info, None)
            .map_err(|e| format!("{label}: {e}"))?;
        Ok(())
    });
}

/// What Metal gets, of the oldest version that macOS 12 has.
fn metal(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<String, naga::back::msl::Error> {
    let options = naga::back::msl::Options {
        lang_version: (2, 4),
        fake_missing_bindings: true,
        ..Default::default()
    };
    let (text, _) = naga::back::msl::write_string(module, info, &options, &Default::default())?;
    Ok(text)
}

/// What a device is asked when it is opened, too: of widths from its subgroups' to the widest.
#[test]
fn naga_translates_probes() {
    for (subgroup, count) in [(1, 2), (4, 8), (8, 7), (32, 6), (64, 5)] {
        let list = probes(&of_subgroups(subgroup));
        assert_eq!(list.len(), count, "subgroups of {subgroup}");
        for probe in list {
            let (module, info) = parse(&probe.variant).unwrap();
            naga::back::spv::write_vec(&module, &info, &Default::default(), None).unwrap();
            metal(&module, &info).unwrap();
        }
    }
}

/// A maximum or minimum with the least or largest number of f32 as a constant: a compiler that assumes no infinities
/// leaves it out.
fn bounds_by_the_least(msl: &str) -> bool {
    let bounds = |line: &str| ["max(", "min(", "clamp("].iter().any(|name| line.contains(name));
    let known = |line: &str| {
        ["34028234", "34028235", "3.4028234", "3.4028235", "FLT_MAX"]
            .iter()
            .any(|own| line.contains(own))
    };
    msl.lines().any(|line| bounds(line) && known(line))
}

#[test]
fn a_bound_that_fast_math_knows_is_noticed() {
    for (bound, known) in [
        ("max(x, -3.4028234e38)", true),
        ("max(x, 1e-37)", false),
        ("clamp(x, -1.0, 3.4028234663852886e38)", true),
    ] {
        let text = format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<f32>;\n\
             @compute @workgroup_size(1) fn main() {{ let x = a[0]; a[1] = {bound}; }}"
        );
        let module = naga::front::wgsl::parse_str(&text).unwrap();
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        let info = validator.validate(&module).unwrap();
        let msl = metal(&module, &info).unwrap();
        assert_eq!(bounds_by_the_least(&msl), known, "{msl}");
    }
}

/// The variant of a dispatch all of whose tensors lie in one buffer, which it writes to.
fn all_shared(dispatch: &Dispatch) -> Option<Variant> {
    let of_call = |own: &&Binding| matches!(own.source, Origin::Tensor(_));
    let (written, read): (Vec<&Binding>, Vec<&Binding>) =
        dispatch.bindings.iter().filter(of_call).partition(|own| own.written);
    let slots: Vec<Slot> = read.iter().map(|own| own.slot).collect();
    (!written.is_empty() && !slots.is_empty()).then(|| dispatch.variant.sharing(slots))
}

/// Where an operand shares the buffer of an output, its binding is writable, and nothing else is another.
#[test]
fn operands_that_share_a_buffer_are_bound_writable() {
    let list: Vec<_> = covering()
        .iter()
        .filter_map(|dispatch| Some((dispatch, all_shared(dispatch)?)))
        .collect();
    assert!(list.len() > 30, "only {} variants", list.len());
    for (dispatch, variant) in list {
        let (module, _) = parse(&variant).unwrap();
        let is_read_only = |own: &naga::GlobalVariable| {
            own.space
                == naga::AddressSpace::Storage {
                    access: naga::StorageAccess::LOAD,
                }
        };
        let left = module.global_variables.iter().filter(|(_, own)| is_read_only(own));
        let left: Vec<u32> = left
            .filter_map(|(_, own)| Some(own.binding.as_ref()?.binding))
            .collect();
        let scratch = dispatch
            .bindings
            .iter()
            .filter(|own| matches!(own.source, Origin::Scratch(_)));
        let scratch: Vec<u32> = scratch.map(|own| own.slot as u32).collect();
        assert!(
            left.iter().all(|slot| scratch.contains(slot)),
            "{}: {left:?}",
            variant.label
        );
        let plain = dispatch
            .variant
            .compose()
            .text
            .replace("var<storage, read> ", "var<storage, read_write> ");
        let shared = variant
            .compose()
            .text
            .replace("var<storage, read> ", "var<storage, read_write> ");
        let code = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>(); // but for the label
        assert!(code(&plain) == code(&shared), "{}", variant.label);
    }
}

/// Tint is the compiler of Chromium; it checks uniformity, which naga does not.
#[test]
fn tint_accepts_variants_where_it_is_installed() {
    if Command::new("tint").arg("--version").output().is_err() {
        eprintln!("tint is not installed: nothing checked");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut chosen: Vec<Variant> = covering().iter().map(|dispatch| dispatch.variant.clone()).collect();
    chosen.extend(covering().iter().filter_map(|dispatch| all_shared(dispatch)));
    chosen.extend(probes(&of_subgroups(8)).into_iter().map(|probe| probe.variant));
    assert!(
        chosen.len() > if is_long() { 500 } else { 50 },
        "only {} variants",
        chosen.len()
    );
    let failures: Vec<String> = chosen
        .par_iter()
        .enumerate()
        .filter_map(|(n, variant)| {
            let path = folder.path().join(format!("{n}.wgsl"));
            // naga takes the built-in functions without the directive, and not yet the directive.
            let header = if is_shuffled(variant) {
                "enable subgroups;\n"
            } else {
                ""
            };
            std::fs::write(&path, header.to_string() + &variant.compose().text).unwrap();
            let output = Command::new("tint")
                .args(["--format", "wgsl"])
                .arg(&path)
                .output()
                .unwrap();
            let message = String::from_utf8_lossy(&output.stderr);
            (!output.status.success()).then(|| format!("{}: {message}", variant.label))
        })
        .collect();
    crate::common::report(failures, chosen.len());
}

/// The validators are not asleep: a slot left out and a slot filled twice are errors, for every driver.
#[test]
fn missing_and_doubled_slots_are_noticed() {
    for driver in ["row", "wide_fold", "wide_put", "elementwise", "reduce", "pair"] {
        let path = format!("driver/{driver}.wgsl");
        let variant = &variants()
            .iter()
            .find(|d| d.variant.pieces[0].path == path)
            .unwrap()
            .variant;
        let refused = |pieces| {
            let broken = Variant {
                pieces,
                ..variant.clone()
            };
            naga::front::wgsl::parse_str(&broken.compose().text).is_err()
        };
        assert!(!refused(variant.pieces.clone()));
        let mut missing = variant.pieces.clone();
        missing.retain(|piece| !piece.path.starts_with("loss/") && !piece.path.starts_with("state/"));
        assert!(refused(missing), "{driver}");
        let mut doubled = variant.pieces.clone();
        doubled.push(doubled[0]);
        assert!(refused(doubled), "{driver}");
    }
    let reductions: BTreeSet<_> = REGISTRY
        .iter()
        .flat_map(|info| info.reductions.iter().map(|r| r.name()))
        .collect();
    assert_eq!(reductions.len(), Reduction::ALL.len());
}
