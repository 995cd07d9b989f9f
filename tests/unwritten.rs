//! Nothing is read that was not written: neither of workgroup memory, which nobody zeroes, nor of large results, which
//! lie where earlier ones did.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use naga::{AddressSpace, ArraySize, Module, ScalarKind, TypeInner};
use wgloss::shader::{Piece, Variant};
use wgloss::{
    Call, Checks, CrossEntropy, Dtype, Engine, L1, Limits, LinearCrossEntropy, Loss, Mode, Mse, OnNan, Output,
    REGISTRY, Reduction, Role, Softmax, Tensor, Tuning, Values,
};

use crate::common::cases::{Case, Setup, by_rows, make};
use crate::common::engine::fresh;
use crate::common::own::{activity, labels, tensor, values};
use crate::common::{bits, report, takes};

/// What fills memory: NaN as a float, no number that a kernel would come by.
const POISON: &str = "0x7fc01234u";

/// A value of a type that is poison throughout, in WGSL.
fn poison(module: &Module, own: &naga::Type) -> String {
    let scalar = |kind: ScalarKind| match kind {
        ScalarKind::Float => "bitcast<f32>(poison)",
        ScalarKind::Sint => "bitcast<i32>(poison)",
        ScalarKind::Bool => "(poison != 0u)",
        _ => "poison",
    };
    let all = |of: Vec<String>| of.join(", ");
    match &own.inner {
        TypeInner::Scalar(own) => scalar(own.kind).into(),
        TypeInner::Vector { size, scalar: own } => format!("vec{}({})", *size as u32, scalar(own.kind)),
        TypeInner::Array { base, size, .. } => {
            let ArraySize::Constant(count) = size else {
                panic!("an array of no constant size")
            };
            let each = poison(module, &module.types[*base]);
            format!("array({})", all(vec![each; count.get() as usize]))
        }
        TypeInner::Struct { members, .. } => {
            let members = members.iter().map(|own| poison(module, &module.types[own.ty]));
            format!("{}({})", own.name.as_ref().unwrap(), all(members.collect()))
        }
        other => panic!("{other:?} in workgroup memory"),
    }
}

/// A variant that fills all its workgroup memory before it does anything else, and the names of that.
fn poisoned(variant: &Variant) -> (Variant, Vec<String>) {
    let module = naga::front::wgsl::parse_str(&variant.compose().text).unwrap();
    let mut names = Vec::new();
    let mut text = "fn poison_workgroup(poison: u32) {\n".to_owned();
    for (_, own) in module.global_variables.iter() {
        if own.space != AddressSpace::WorkGroup {
            continue;
        }
        let name = own.name.clone().unwrap();
        let (count, base) = match module.types[own.ty].inner {
            TypeInner::Array {
                base,
                size: ArraySize::Constant(count),
                ..
            } => (count.get(), base),
            ref other => panic!("{name} is {other:?}"),
        };
        let each = poison(&module, &module.types[base]);
        writeln!(
            text,
            "    for (var i = 0u; i < {count}u; i++) {{ {name}[i] = {each}; }}"
        )
        .unwrap();
        names.push(name);
    }
    text += "    workgroupBarrier();\n}\n";
    if names.is_empty() {
        return (variant.clone(), names);
    }
    let mut changed = variant.clone();
    for own in &mut changed.pieces {
        own.text = leaked(in_main(own.text, &format!("    poison_workgroup({POISON});\n")));
    }
    changed.pieces.push(Piece {
        path: "own/poison.wgsl",
        text: leaked(text),
        operand: None,
        consts: &[],
    });
    (changed, names)
}

/// A text with more at the beginning of `main`, where it has that.
fn in_main(text: &str, more: &str) -> String {
    let Some(at) = text.find("fn main(") else {
        return text.into();
    };
    let body = at + text[at..].find("{\n").unwrap() + 2;
    [&text[..body], more, &text[body..]].concat()
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// All that shaders have in workgroup memory, but for what only a baseline of `bench` runs.
fn declared() -> BTreeSet<String> {
    fn read(folder: &Path, names: &mut BTreeSet<String>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                read(&path, names);
            } else if path.extension().is_some_and(|own| own == "wgsl") && !path.ends_with("naive.wgsl") {
                let text = fs::read_to_string(&path).unwrap();
                let behind = text.split("var<workgroup> ").skip(1);
                names.extend(behind.map(|own| own.split(':').next().unwrap().to_owned()));
            }
        }
    }
    let mut names = BTreeSet::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders"), &mut names);
    names
}

/// Results of all losses in both tunings, where lanes merge through memory, and where groups of them do: with the
/// memory poisoned they have the same bits. A tree that forgets one lane's state is noticed.
#[test]
fn workgroup_memory_is_written_before_it_is_read() {
    let own = fresh().plan_limits().unwrap().subgroup;
    let plain = |(tuning, subgroup): (Option<Tuning>, u32)| {
        let mut engine = fresh();
        let limits = Limits {
            subgroup,
            ..engine.plan_limits().unwrap()
        };
        engine.set_plan_limits(limits).unwrap();
        if let Some(tuning) = tuning {
            engine.set_tuning(tuning).unwrap();
        }
        engine
    };
    // Groups of as many lanes as this adapter's subgroups have, and what they come to through memory.
    let groups = Tuning {
        subgroup: own,
        row_width: own * own,
        width: own * own,
        ..Tuning::HARDWARE
    };
    let ways = [(None, 1), (Some(Tuning::HARDWARE), 1), (Some(groups), own)];
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let poisons = |way| {
        let (mut engine, seen) = (plain(way), Arc::clone(&seen));
        engine.alter_shaders(move |variant| {
            let (changed, names) = poisoned(variant);
            seen.lock().unwrap().extend(names);
            changed
        });
        engine
    };
    let (mut failures, mut runs) = (Vec::new(), 0);
    for (which, way) in ways
        .into_iter()
        .enumerate()
        .filter(|(_, (_, subgroup))| *subgroup == 1 || own > 1)
    {
        let (clean, poisoned) = (plain(way), poisons(way));
        for (n, info) in REGISTRY.iter().enumerate() {
            for (m, shape) in [&[70, 9][..], &[9, 1500], &[3, 5, 7], &[2, 140_000]]
                .into_iter()
                .enumerate()
            {
                // A few for every shape and each tree, and all in a long run.
                let is_first = ["cross_entropy", "bce", "mse", "logsumexp"].contains(&info.name);
                if !is_first && (m == 3 || !takes(n + m + which, 10)) {
                    continue;
                }
                let setup = Setup {
                    reduction: info.reductions[(n + m + 1) % info.reductions.len()],
                    setting: by_rows(info),
                    seed: n as u64,
                    ..Setup::new(shape)
                };
                let Some(case) = make(info, &setup) else { continue };
                let call = Call {
                    checks: Checks {
                        nan: if n % 2 == 0 { OnNan::Error } else { OnNan::default() },
                        ..Default::default()
                    },
                    ..case.call(case.most())
                };
                let run = |engine: &Engine| bits(&values(&case.loss.run(engine, &call).unwrap(), engine));
                if run(&clean) != run(&poisoned) {
                    failures.push(format!("{} the {which}th way", case.what));
                }
                runs += 1;
            }
        }
    }
    // A product, in large tiles and in small ones.
    for (rows, cols) in [(70, 9), (1500, 1411)] {
        let (x, w) = (tensor(1, &[rows, 20]), tensor(2, &[cols, 20]));
        let run = |engine: &Engine| {
            let into = Tensor::new(&vec![0.0f32; rows * cols], &[rows, cols]).unwrap();
            let [x, w, into] = [&x, &w, &into].map(|own| engine.upload(own).unwrap());
            let stopwatch = engine.stopwatch_product([&x, &w], [false, true], &into).unwrap();
            stopwatch.once().unwrap();
            stopwatch.tensor(Role::Loss).unwrap().read::<f32>(engine).unwrap()
        };
        if run(&plain(ways[0])) != run(&poisons(ways[0])) {
            failures.push(format!("a product of {rows} by {cols}"));
        }
        runs += 1;
    }
    // A filter of a layer's gradient.
    let (x, w, t) = (tensor(1, &[90, 20]), tensor(2, &[130, 20]), labels(3, 90, 130));
    let layer = LinearCrossEntropy {
        filter_eps: 1e-4,
        ..Default::default()
    };
    let run = |engine: &Engine| {
        bits(&values(
            &layer.forward_backward(engine, &[&x, &w, &t], None).unwrap(),
            engine,
        ))
    };
    if run(&plain(ways[0])) != run(&poisons(ways[0])) {
        failures.push("a layer with a filter".into());
    }
    runs += 1;
    report(failures, runs);
    let (seen, declared) = (seen.lock().unwrap(), declared());
    // What groups of lanes leave behind is there where the adapter has subgroups.
    let is_due = |name: &&String| own > 1 || *name != "group_states";
    let never: Vec<_> = declared.difference(&seen).filter(is_due).collect();
    assert!(never.is_empty(), "{never:?} were in none of {runs} calls");

    let mut engine = plain(ways[1]);
    engine.alter_shaders(|variant| {
        let (mut changed, _) = poisoned(variant);
        for own in &mut changed.pieces {
            // One of the half that writes first.
            let write = "keep_state(cells + own % CELLS, state);";
            own.text = leaked(own.text.replace(write, &format!("if (lane != 21u) {{ {write} }}")));
        }
        changed
    });
    let x = tensor(1, &[9, 1500]);
    let run = |engine: &Engine| bits(&values(&Softmax::default().forward(engine, &[&x]).unwrap(), engine));
    assert!(
        run(&engine) != run(&plain(ways[1])),
        "nobody minds a state that is missing"
    );
}

/// Leaves results of so many bytes each behind, which hold numbers that no kernel would come by.
fn leave(engine: &Engine, sizes: &[u64]) {
    let zero = engine.upload(&Tensor::new(&[0.0f32], &[]).unwrap()).unwrap();
    let l1 = L1 {
        reduction: Reduction::None,
    };
    let garbage = |bytes: &u64| {
        let numbers = vec![-7.25e30f32; (bytes.next_multiple_of(16) / 4) as usize];
        let x = engine
            .upload(&Tensor::new(&numbers, &[numbers.len()]).unwrap())
            .unwrap();
        l1.forward(engine, &[&x, &zero]).unwrap()
    };
    let all: Vec<Output> = sizes.iter().map(garbage).collect();
    drop(all);
}

fn sizes(output: &Output) -> Vec<u64> {
    let own = [
        &output.loss,
        &output.grad_input,
        &output.z_loss,
        &output.lse,
        &output.entropy,
        &output.argmax,
    ];
    let grads = output.grads.iter().map(|(_, own)| own);
    let bytes = |own: &Tensor| own.view().len() * own.dtype().bytes();
    own.into_iter()
        .flatten()
        .chain(grads)
        .map(bytes)
        .filter(|bytes| *bytes > 64 << 10)
        .collect()
}

/// What large results were before reaches none: every loss, mode and dtype, all reductions, odd lengths and gradients
/// of whatever has one.
#[test]
fn large_results_are_written_whole() {
    let engine = fresh();
    let mut clean = fresh();
    clean.set_kept_bytes(0);
    let (mut failures, mut runs, mut lent) = (Vec::new(), 0, 0);
    let shapes = [&[301, 131][..], &[5, 131, 61], &[40_001], &[3, 20_011], &[20_011, 3]];
    for (n, info) in REGISTRY.iter().enumerate() {
        for (m, shape) in shapes.into_iter().enumerate() {
            for (k, dtype) in [Dtype::F32, Dtype::F16, Dtype::Bf16].into_iter().enumerate() {
                if !takes(n + 2 * m + k, 10) {
                    continue;
                }
                let setup = Setup {
                    reduction: info.reductions[(n + m + k) % info.reductions.len()],
                    setting: by_rows(info),
                    given: (n + m) % 2 == 0,
                    dtype,
                    other: dtype,
                    seed: (n + m) as u64,
                    ..Setup::new(shape)
                };
                // Each class beside every other one, in rows of many, takes long, or is refused.
                let is_square = info.name.starts_with("multi") && shape[usize::from(shape.len() > 1)] > 1000;
                let Some(case) = make(info, &setup).filter(|_| !is_square) else {
                    continue;
                };
                for mode in modes(&case) {
                    let call = case.call(mode);
                    let output = case.loss.run(&clean, &call).unwrap();
                    let sizes = sizes(&output);
                    leave(&engine, &sizes);
                    let before = activity(&engine).lent;
                    let again = case.loss.run(&engine, &call).unwrap();
                    let own = activity(&engine).lent - before;
                    let all: u64 = sizes.iter().map(|own| own.next_multiple_of(16)).sum();
                    assert_eq!(own, all, "{}", case.what);
                    lent += own;
                    if bits(&values(&output, &clean)) != bits(&values(&again, &engine)) {
                        failures.push(format!("{} {}", case.what, mode.name()));
                    }
                    runs += 1;
                }
            }
        }
    }
    report(failures, runs);
    assert!(lent > 50_000 * runs as u64, "{lent} bytes in {runs} runs");

    // A kernel that writes nothing leaves what was there.
    let mut idle = fresh();
    idle.alter_shaders(|variant| {
        let mut changed = variant.clone();
        for own in changed.pieces.iter_mut().filter(|_| variant.label.starts_with("mse/")) {
            own.text = leaked(in_main(own.text, "    if (true) { return; }\n"));
        }
        changed
    });
    leave(&idle, &[160_000]);
    let x = tensor(1, &[40_000]);
    let grad = Mse::default()
        .backward(&idle, &[&x, &x], None)
        .unwrap()
        .grad_input
        .unwrap();
    assert!(grad.read::<f32>(&idle).unwrap().iter().all(|x| *x == 7.25e30));
}

fn modes(case: &Case) -> impl Iterator<Item = Mode> {
    let differentiable = case.differentiable;
    Mode::ALL
        .into_iter()
        .filter(move |mode| differentiable || !mode.wants_grad())
}

/// Large results that somebody holds, in whatever way, stay as they are while the same call goes on; others' memory is
/// used again, as far as it is to be kept.
#[test]
fn held_results_are_never_lent() {
    let mut engine = fresh();
    let loss = CrossEntropy::default();
    let labels = engine.upload(&labels(5, 300, 100)).unwrap();
    let inputs: Vec<Tensor> = (0..30)
        .map(|seed| engine.upload(&tensor(seed, &[300, 100])).unwrap())
        .collect();
    let run = |engine: &Engine, nth: usize| loss.forward_backward(engine, &[&inputs[nth], &labels], None).unwrap();
    let want: Vec<Values> = (0..30).map(|nth| values(&run(&engine, nth), &engine)).collect();
    let bytes = 300 * 100 * 4;
    let (mut whole, mut grads, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    for (nth, want) in want.iter().enumerate() {
        let output = run(&engine, nth);
        match nth % 5 {
            0 => whole.push((nth, output)),
            1 => whole.push((nth, output.clone())),
            2 => grads.push((nth, output.grad_input.unwrap())),
            3 => raw.push((nth, output.grad_input.as_ref().unwrap().buffer().unwrap().clone())),
            _ => assert!(bits(&values(&output, &engine)) == bits(want)),
        }
    }
    for (nth, output) in &whole {
        assert!(bits(&values(output, &engine)) == bits(&want[*nth]), "output {nth}");
    }
    let own = |grad: &Tensor| grad.read::<f32>(&engine).unwrap();
    for (nth, grad) in &grads {
        assert!(own(grad) == want[*nth].grad_input.as_ref().unwrap().data, "grad {nth}");
    }
    for (nth, buffer) in raw {
        let grad = Tensor::from_buffer(&engine, buffer, 0, Dtype::F32, &[300, 100], None).unwrap();
        assert!(
            own(&grad) == want[nth].grad_input.as_ref().unwrap().data,
            "buffer {nth}"
        );
    }
    drop((whole, grads));

    let lends = |engine: &Engine| {
        let before = activity(engine);
        drop(run(engine, 0));
        let after = activity(engine);
        let lent = after.lent - before.lent;
        assert!(lent == 0 || lent == bytes, "{lent}");
        // While others are held, small results are made, too.
        let made = after.bytes - before.bytes;
        assert!((bytes - lent..bytes - lent + 1024).contains(&made), "{made} and {lent}");
        lent > 0
    };
    drop(run(&engine, 0));
    assert!(lends(&engine));
    assert!(activity(&engine).idle >= bytes);
    engine.release().unwrap();
    assert_eq!(activity(&engine).idle, 0);
    drop(run(&engine, 0)); // small results are made, too
    assert!(lends(&engine));
    assert!(engine.kept_bytes() >= 1 << 30);
    engine.set_kept_bytes(bytes);
    assert!(lends(&engine) && engine.kept_bytes() == bytes);
    // Of two that are given back the latest stays.
    drop([run(&engine, 0), run(&engine, 1)]);
    assert!(lends(&engine) && lends(&engine));
    let held = run(&engine, 0);
    assert!(!lends(&engine));
    drop(held);
    engine.set_kept_bytes(bytes - 1);
    assert!(!lends(&engine) && !lends(&engine));
    let cpu = &mut Engine::cpu();
    cpu.set_kept_bytes(5);
    assert_eq!(cpu.kept_bytes(), 0);
}

/// What a caller's encoder has recorded keeps its large operands and results until it was submitted, also where nobody
/// holds those any more.
#[test]
fn recorded_results_are_never_lent() {
    let engine = fresh();
    let (soft, mse) = (Softmax::default(), Mse::default());
    let inputs: Vec<Tensor> = (0..4)
        .map(|seed| engine.upload(&tensor(seed, &[300, 100])).unwrap())
        .collect();
    let inner = |nth: usize| soft.forward(&engine, &[&inputs[nth]]).unwrap().loss.unwrap();
    let outer = |x: &Tensor| values(&soft.forward(&engine, &[x]).unwrap(), &engine);
    let want = bits(&outer(&inner(0)));
    let (device, queue) = engine.wgpu().unwrap();
    for round in 0..3 {
        let mut late = device.create_command_encoder(&Default::default());
        // An operand that nobody holds any more, and a result that nobody ever will.
        let output = {
            let inner = inner(0);
            let call = Call::new(Mode::Forward, &[&inner]);
            drop(
                soft.encode(&engine, &mut late, &Call::new(Mode::Forward, &[&inputs[3]]))
                    .unwrap(),
            );
            soft.encode(&engine, &mut late, &call).unwrap()
        };
        let held: Vec<Tensor> = [1, 2, 1, 2].map(inner).into();
        let before: Vec<Vec<f32>> = held.iter().map(|own| own.read(&engine).unwrap()).collect();
        queue.submit([late.finish()]);
        assert!(bits(&values(&output, &engine)) == want, "round {round}");
        for (own, before) in held.iter().zip(&before) {
            assert!(own.read::<f32>(&engine).unwrap() == *before, "round {round}");
        }
    }
    // Of encoders that are dropped the memory comes back.
    let never = device.create_command_encoder(&Default::default());
    let mut own = never;
    drop(
        mse.encode(&engine, &mut own, &Call::new(Mode::Backward, &[&inputs[0], &inputs[1]]))
            .unwrap(),
    );
    drop(own);
    let before = activity(&engine).lent;
    drop(mse.backward(&engine, &[&inputs[0], &inputs[1]], None).unwrap());
    assert!(activity(&engine).lent > before);
}
