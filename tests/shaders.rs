//! Every shader that can be composed: accepted by naga (and by tint where it is installed), bound as the plans say,
//! laid out as the Rust structs, translated to SPIR-V, MSL and HLSL. No device.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Command;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgloss::layout::{ElementParams, ReduceParams, RowParams};
use wgloss::plan::{Dispatch, plan, plan_copy, plan_reduce};
use wgloss::shader::Variant;
use wgloss::{
    BceWithLogits, Call, CrossEntropy, Dtype, GradTo, Loss, Mode, ReduceOp, Reduction, SigmoidFocal, Tensor, Tuning,
    View,
};

use crate::common::data::row_shape;
use crate::plans::DEFAULT_LIMITS;

/// Every variant of every driver, with the slots that its plan binds (and whether it writes them).
fn variants() -> Vec<Dispatch> {
    let mut found: HashMap<Variant, Dispatch> = HashMap::new();
    let mut add = |list: Vec<Dispatch>| {
        for dispatch in list {
            found.entry(dispatch.variant.clone()).or_insert(dispatch);
        }
    };
    for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
        for call in calls() {
            for mut problem in call {
                // A gradient over the input asks for a device buffer, which a plan does not look at.
                for in_place in [false, problem.mode.wants_grad()] {
                    problem.in_place = in_place;
                    add(dispatches(plan(&problem, &DEFAULT_LIMITS, &tuning).unwrap()));
                }
            }
        }
        for op in ReduceOp::ALL {
            for shape in [[3, 5], [1024, 64]] {
                let view = View::contiguous(Dtype::F32, &shape);
                add(dispatches(plan_reduce(op, &view, &DEFAULT_LIMITS, &tuning).unwrap()));
            }
        }
        let view = View::contiguous(Dtype::F32, &[1 << 20]);
        add(dispatches(plan_copy(&view, &DEFAULT_LIMITS, &tuning).unwrap()));
    }
    let mut list: Vec<Dispatch> = found.into_values().collect();
    list.sort_by(|a, b| a.variant.label.cmp(&b.variant.label));
    list
}

fn dispatches(plan: wgloss::plan::Plan) -> Vec<Dispatch> {
    plan.dispatches().cloned().collect()
}

/// Problems that bring up every choice of pieces.
fn calls() -> Vec<Vec<wgloss::problem::Problem>> {
    let floats = |shape: &[usize]| Tensor::new(&vec![0.5f32; shape.iter().product()], shape).unwrap();
    let mut list = Vec::new();
    for reduction in Reduction::ALL {
        let upstream = |shape: &[usize]| {
            if reduction == Reduction::None {
                floats(shape)
            } else {
                floats(&[])
            }
        };
        // (N, C) by lane and by group, in quads or not, and (N, C, d).
        for shape in [&[3, 7][..], &[3, 8], &[3, 1001], &[3, 1000], &[3, 7, 2], &[70_000, 4]] {
            let rows = row_shape(shape);
            let count = rows.iter().product();
            let targets = [
                floats(shape),
                Tensor::new(&vec![1i32; count], &rows).unwrap(),
                Tensor::new(&vec![1u32; count], &rows).unwrap(),
                Tensor::new(&vec![1i64; count], &rows).unwrap(),
            ];
            for (smoothing, weighted, target) in [0.0, 0.1]
                .iter()
                .flat_map(|s| [false, true].map(|w| (s, w)))
                .flat_map(|(s, w)| targets.iter().map(move |t| (s, w, t)))
            {
                let loss = CrossEntropy {
                    label_smoothing: *smoothing,
                    weight: weighted.then(|| floats(&shape[1..2])),
                    reduction,
                    ..Default::default()
                };
                list.push(problems(&loss, &floats(shape), target, &upstream(&rows)));
            }
        }
        for shape in [&[3, 5][..], &[4, 8], &[70_000, 4]] {
            for (weight, pos_weight) in [(false, false), (true, false), (false, true), (true, true)] {
                let loss = BceWithLogits {
                    weight: weight.then(|| floats(shape)),
                    pos_weight: pos_weight.then(|| floats(&shape[1..])),
                    reduction,
                };
                list.push(problems(&loss, &floats(shape), &floats(shape), &upstream(shape)));
            }
            let loss = SigmoidFocal {
                reduction,
                ..Default::default()
            };
            list.push(problems(&loss, &floats(shape), &floats(shape), &upstream(shape)));
        }
    }
    list
}

fn problems(loss: &dyn Loss, input: &Tensor, target: &Tensor, upstream: &Tensor) -> Vec<wgloss::problem::Problem> {
    let mut list = Vec::new();
    for mode in Mode::ALL {
        for grad_output in [None, Some(upstream)] {
            let full = target.dtype() == Dtype::F32 && loss.info().name == "cross_entropy";
            for grad_target in [false, full && mode.wants_grad()] {
                let call = Call {
                    grad_output,
                    grad_target,
                    grad_input: GradTo::New,
                    ..Call::new(mode, input, target)
                };
                list.push(loss.problem(&call).unwrap());
            }
        }
    }
    list
}

fn parse(variant: &Variant) -> (naga::Module, naga::valid::ModuleInfo) {
    let source = variant.compose();
    let fail = |message: String| -> ! { panic!("{}: {message}", variant.label) };
    let module = naga::front::wgsl::parse_str(&source.text).unwrap_or_else(|error| {
        let line = error.location(&source.text).map_or(0, |l| l.line_number as usize);
        fail(format!("{} at {}", error.message(), source.locate(line)))
    });
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|error| fail(error.emit_to_string(&source.text)));
    (module, info)
}

#[test]
fn naga_accepts_and_translates_every_variant() {
    let all = variants();
    assert!(all.len() > 400, "only {} variants", all.len());
    for dispatch in &all {
        let label = &dispatch.variant.label;
        let (module, info) = parse(&dispatch.variant);
        naga::back::spv::write_vec(&module, &info, &Default::default(), None)
            .unwrap_or_else(|e| panic!("{label}: {e}"));
        let msl = naga::back::msl::Options {
            fake_missing_bindings: true,
            ..Default::default()
        };
        naga::back::msl::write_string(&module, &info, &msl, &Default::default())
            .unwrap_or_else(|e| panic!("{label}: {e}"));
        let mut hlsl = String::new();
        let (options, pipeline) = (naga::back::hlsl::Options::default(), Default::default());
        naga::back::hlsl::Writer::new(&mut hlsl, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{label}: {e}"));
    }
}

/// The layout is derived from the shader, so a plan must bind exactly what the shader uses, written or not.
#[test]
fn plans_bind_what_shaders_declare() {
    for dispatch in variants() {
        let (module, info) = parse(&dispatch.variant);
        let used = info.get_entry_point(0);
        let mut declared = BTreeSet::new();
        for (handle, global) in module.global_variables.iter() {
            let Some(binding) = &global.binding else {
                continue;
            };
            assert!(
                !used[handle].is_empty(),
                "{}: binding {} is not used",
                dispatch.variant.label,
                binding.binding
            );
            let written = matches!(
                global.space,
                naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE)
            );
            declared.insert((binding.binding, written));
        }
        let mut bound: BTreeSet<_> = dispatch.bindings.iter().map(|b| (b.slot as u32, b.written)).collect();
        bound.insert((0, false));
        assert_eq!(declared, bound, "{}", dispatch.variant.label);
        assert!(
            declared.len() <= 1 + 8,
            "{}: WebGPU gives 8 storage buffers",
            dispatch.variant.label
        );
    }
}

/// Two variants of one label would be told apart by nobody.
#[test]
fn labels_tell_variants_apart() {
    let mut seen: BTreeMap<String, Variant> = BTreeMap::new();
    for dispatch in variants() {
        let variant = dispatch.variant;
        if let Some(other) = seen.insert(variant.label.clone(), variant.clone()) {
            panic!("{}: {:?}\n{:?}", variant.label, other, variant);
        }
    }
}

/// A loss of the registry that this file does not compose would not be validated.
#[test]
fn every_loss_is_composed() {
    let all = variants();
    for info in wgloss::REGISTRY {
        let prefix = format!("{}/", info.name);
        assert!(
            all.iter().any(|dispatch| dispatch.variant.label.starts_with(&prefix)),
            "{}",
            info.name
        );
    }
}

#[test]
fn params_are_laid_out_as_in_rust() {
    let mut seen = BTreeSet::new();
    for dispatch in variants() {
        let (module, _) = parse(&dispatch.variant);
        let (_, params) = module
            .types
            .iter()
            .find(|(_, ty)| ty.name.as_deref() == Some("Params"))
            .unwrap();
        let naga::TypeInner::Struct { members, span } = &params.inner else {
            panic!("Params is a struct");
        };
        let fields: Vec<_> = members
            .iter()
            .map(|m| (m.name.clone().unwrap(), m.offset as usize))
            .collect();
        let (name, ours, size) = [
            ("row", RowParams::FIELDS, size_of::<RowParams>()),
            ("element", ElementParams::FIELDS, size_of::<ElementParams>()),
            ("reduce", ReduceParams::FIELDS, size_of::<ReduceParams>()),
        ]
        .into_iter()
        .find(|(_, _, size)| *size == dispatch.params.len())
        .unwrap();
        let ours: Vec<_> = ours.iter().map(|(name, offset)| (name.to_string(), *offset)).collect();
        assert_eq!(fields, ours, "{}", dispatch.variant.label);
        assert_eq!(*span as usize, size);
        seen.insert(name);
    }
    assert_eq!(seen.len(), 3);
}

/// The sizes of states that plans reckon with are those of the shaders.
#[test]
fn states_have_the_sizes_that_plans_reckon_with() {
    for dispatch in variants() {
        let (module, _) = parse(&dispatch.variant);
        for (_, global) in module.global_variables.iter() {
            if !matches!(global.name.as_deref(), Some("states_in" | "states_out")) {
                continue;
            }
            let naga::TypeInner::Array { stride, .. } = module.types[global.ty].inner else {
                panic!("an array");
            };
            let slot = global.binding.as_ref().unwrap().binding;
            let binding = dispatch.bindings.iter().find(|b| b.slot as u32 == slot).unwrap();
            let states = if global.name.as_deref() == Some("states_out") {
                dispatch.tiles.1 - dispatch.tiles.0
            } else {
                binding.size / u64::from(stride)
            };
            assert_eq!(
                binding.size,
                states.max(1) * u64::from(stride),
                "{}",
                dispatch.variant.label
            );
        }
    }
}

/// Tint is the compiler of Chromium; it checks uniformity, which naga does not.
#[test]
fn tint_accepts_every_variant_where_it_is_installed() {
    if Command::new("tint").arg("--version").output().is_err() {
        eprintln!("tint is not installed: nothing checked");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (n, dispatch) in variants().iter().enumerate() {
        let path = folder.path().join(format!("{n}.wgsl"));
        std::fs::write(&path, dispatch.variant.compose().text).unwrap();
        let output = Command::new("tint")
            .args(["--format", "wgsl"])
            .arg(&path)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {message}", dispatch.variant.label);
    }
}

/// The validator is not asleep: a slot left out and a slot filled twice are errors.
#[test]
fn missing_and_doubled_slots_are_noticed() {
    let variant = variants().swap_remove(0).variant;
    let refused = |pieces| {
        let broken = Variant {
            pieces,
            ..variant.clone()
        };
        naga::front::wgsl::parse_str(&broken.compose().text).is_err()
    };
    let mut missing = variant.pieces.clone();
    missing.retain(|piece| !piece.path.starts_with("loss/") && !piece.path.starts_with("monoid/"));
    assert!(refused(missing) || variant.label.starts_with("copy"));
    let mut doubled = variant.pieces.clone();
    doubled.push(doubled[0]);
    assert!(refused(doubled));
}
