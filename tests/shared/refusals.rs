//! Tensors that overlap, and places that are none.

use wgloss::{Call, CrossEntropy, Dtype, Engine, GradTo, Loss, LossTo, Mode, Mse, Role, Stats, Tensor};

use crate::common::gpu;
use crate::common::own::{labels, own, tensor};

fn message(loss: &dyn Loss, call: &Call<'_>) -> String {
    loss.run(gpu(), call).unwrap_err().to_string()
}

#[test]
fn tensors_that_overlap_are_named() {
    let engine = gpu();
    let buffer = own(engine, Dtype::F32, &[64]).buffer;
    let at = |offset, shape: &[usize], stride| {
        Tensor::from_buffer(engine, buffer.clone(), offset, Dtype::F32, shape, stride).unwrap()
    };
    let t = engine.upload(&labels(1, 4, 4)).unwrap();
    let x = at(0, &[4, 4], None);
    let loss = CrossEntropy::default();
    let call = |into: &Tensor| {
        let call = Call {
            grad_input: GradTo::Into(into),
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        loss.run(engine, &call).map_err(|error| error.to_string())
    };
    for into in [at(0, &[4, 4], None), at(60, &[4, 4], None)] {
        assert!(
            call(&into)
                .unwrap_err()
                .starts_with("grad_input: lies over elements of input")
        );
    }
    assert!(call(&at(64, &[4, 4], None)).is_ok());
    // In the gaps between the rows of another there is room.
    let x = at(0, &[4, 4], Some(8));
    let between = Call {
        grad_input: GradTo::Into(&at(16, &[4, 4], Some(8))),
        ..Call::new(Mode::Fused, &[&x, &t])
    };
    assert!(loss.run(engine, &between).is_ok());
    let across = Call {
        grad_input: GradTo::Into(&at(12, &[4, 4], Some(8))),
        ..Call::new(Mode::Fused, &[&x, &t])
    };
    assert!(message(&loss, &across).starts_with("grad_input: lies over elements of input"));
    // Two results, one of which is the other's neighbour.
    let (x, grad, row) = (at(0, &[4, 4], None), at(64, &[4, 4], None), at(124, &[4], None));
    let together = Call {
        grad_input: GradTo::Into(&grad),
        stats: Stats {
            lse: true,
            ..Default::default()
        },
        into: vec![(Role::Lse, &row)],
        ..Call::new(Mode::Fused, &[&x, &t])
    };
    assert!(message(&loss, &together).starts_with("lse: lies over elements of grad_input"));
    // Another tensor that lies over the input which the gradient goes over.
    let target = at(32, &[4, 4], None);
    let twice = Call {
        grad_input: GradTo::InPlace,
        ..Call::new(Mode::Fused, &[&x, &target])
    };
    assert!(message(&Mse::default(), &twice).starts_with("grad_input: lies over elements of target"));
}

#[test]
fn places_are_checked_by_name() {
    let engine = gpu();
    let up = |tensor: Tensor| engine.upload(&tensor).unwrap();
    let (x, t) = (up(tensor(1, &[4, 3])), up(labels(1, 4, 3)));
    let (scalar, rows, host) = (up(tensor(2, &[])), up(tensor(2, &[4])), tensor(2, &[]));
    let half = up(tensor(2, &[]).to_dtype(Dtype::F16).unwrap());
    let stats = Stats {
        lse: true,
        ..Default::default()
    };
    let base = |mode| Call::new(mode, &[&x, &t]);
    let into = |role, own| Call {
        into: vec![(role, own)],
        stats,
        ..base(Mode::Forward)
    };
    let to = |own| Call {
        loss: LossTo::Into(own),
        ..base(Mode::Forward)
    };
    let loss = CrossEntropy::default();
    for (call, wanted) in [
        (to(&rows), "loss: expected shape [] as the result, got [4]"),
        (to(&half), "loss: expected dtype f32, got f16"),
        (to(&host), "loss: is on the host"),
        (
            Call {
                mode: Mode::Backward,
                ..to(&scalar)
            },
            "loss: a place is given for it, and the call does not compute it",
        ),
        (into(Role::Entropy, &rows), "entropy: a place is given for it"),
        (
            into(Role::Lse, &scalar),
            "lse: expected shape [4] as the result, got []",
        ),
        (into(Role::Target, &rows), "grad_target: a place is given for it"),
        (into(Role::Input, &x), "grad_input: has its place in the call"),
        (into(Role::Loss, &scalar), "loss: has its place in the call"),
        (into(Role::Argmax, &rows), "argmax: a place is given for it"),
        (
            Call {
                into: vec![(Role::Lse, &rows), (Role::Lse, &rows)],
                stats,
                ..base(Mode::Forward)
            },
            "lse: has two places",
        ),
    ] {
        let error = message(&loss, &call);
        assert!(error.starts_with(wanted), "{error}");
    }
    // The processor's tensors are shared.
    let (x, t) = (tensor(1, &[4, 3]), labels(1, 4, 3));
    let call = Call {
        loss: LossTo::Into(&host),
        ..Call::new(Mode::Forward, &[&x, &t])
    };
    let error = loss.run(&Engine::cpu(), &call).unwrap_err().to_string();
    assert!(
        error.starts_with("loss: a tensor to write into needs a device"),
        "{error}"
    );
    // Running totals read the loss by themselves.
    let mut all = wgloss::Batches::new(engine, &loss);
    let error = all.push(&to(&scalar)).unwrap_err().to_string();
    assert!(error.starts_with("loss: has a place of the caller's"), "{error}");
}

/// Two 16-bit results in one word: neither could be taken back without the other's half.
#[test]
fn results_in_one_word_are_named() {
    let engine = gpu();
    let buffer = own(engine, Dtype::F16, &[64]).buffer;
    let at =
        |offset, shape: &[usize]| Tensor::from_buffer(engine, buffer.clone(), offset, Dtype::F16, shape, None).unwrap();
    let x = engine.upload(&tensor(1, &[3]).to_dtype(Dtype::F16).unwrap()).unwrap();
    let (loss, grad, apart) = (at(0, &[3]), at(6, &[3]), at(8, &[3]));
    let call = |grad| {
        let call = Call {
            loss: LossTo::Into(&loss),
            grad_input: GradTo::Into(grad),
            ..Call::new(Mode::Fused, &[&x])
        };
        wgloss::Sigmoid::default()
            .run(engine, &call)
            .map_err(|error| error.to_string())
    };
    let error = call(&grad).unwrap_err();
    assert!(error.contains("has elements in a word of four bytes that"), "{error}");
    assert!(call(&apart).is_ok());
}

/// A gradient has one name, that of its operand: two would be two places.
#[test]
fn a_gradient_is_named_by_its_operand() {
    let engine = gpu();
    let up = |seed| engine.upload(&tensor(seed, &[4, 3])).unwrap();
    let (x, t, here, there) = (up(1), up(2), up(3), up(4));
    let call = |into: Vec<(Role, _)>| {
        let call = Call {
            grads: vec![Role::Target],
            into,
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        Mse::default().run(engine, &call).map_err(|error| error.to_string())
    };
    assert!(call(vec![(Role::Target, &here)]).is_ok());
    for into in [
        vec![(Role::Grad(1), &here)],
        vec![(Role::Target, &here), (Role::Grad(1), &there)],
    ] {
        let error = call(into).unwrap_err();
        assert!(
            error.starts_with("grad_target: has its place by the role of its operand"),
            "{error}"
        );
    }
}

/// What is taken out of an output takes nothing else along.
#[test]
fn an_arg_max_is_read_beside_a_placed_loss() {
    let engine = gpu();
    let up = |tensor: Tensor| engine.upload(&tensor).unwrap();
    let (x, t, scalar) = (up(tensor(1, &[4, 3])), up(labels(1, 4, 3)), up(tensor(2, &[])));
    let call = Call {
        loss: LossTo::Into(&scalar),
        stats: Stats {
            argmax: true,
            ..Default::default()
        },
        ..Call::new(Mode::Forward, &[&x, &t])
    };
    let mut output = CrossEntropy::default().run(engine, &call).unwrap();
    output.loss.take();
    let values = output.read(engine).unwrap();
    assert!(values.loss.is_none() && values.argmax.unwrap().data.len() == 4);
}
