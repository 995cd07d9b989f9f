//! What memory a layer takes.

use wgloss::limits::MAX_ITERATIONS;
use wgloss::plan::plan;
use wgloss::{Call, Dtype, Error, Limits, LinearCrossEntropy, Loss, Mode, Role, Tensor, Tuning};

use super::{Case, GRADS};
use crate::common::own::activity;
use crate::common::plans::DEFAULT_LIMITS;
use crate::common::{bits, engine, is_long};

/// Beyond operands, results and the scratch: 64 bytes for each row and class, and a MiB.
#[test]
fn plans_take_little_memory() {
    for (inputs, features, classes) in [
        (8192u64, 64usize, 128_256u64),
        (1024, 512, 32_000),
        (100_000, 8, 40),
        (5, 4096, 262_144),
        // Rows of tiles lie over the ends of buffers.
        (5, 4100, 262_144),
    ] {
        for (scratch_bytes, dtype) in [64 << 20, 1 << 20, 65_536]
            .into_iter()
            .flat_map(|bytes| [Dtype::F32, Dtype::Bf16].map(|dtype| (bytes, dtype)))
        {
            for mode in Mode::ALL {
                let limits = Limits {
                    scratch_bytes,
                    ..DEFAULT_LIMITS
                };
                let input = Tensor::placeholder(dtype, &[inputs as usize, features]).unwrap();
                let matrix = Tensor::placeholder(dtype, &[classes as usize, features]).unwrap();
                let target = Tensor::placeholder(Dtype::I64, &[inputs as usize]).unwrap();
                let mut call = Call::new(mode, &[&input, &matrix, &target]);
                call.grads.extend(mode.wants_grad().then_some(Role::LinearWeight));
                let problem = LinearCrossEntropy::default().problem(&call).unwrap();
                let name = format!("{inputs}x{features}x{classes} {dtype} {} {scratch_bytes}", mode.name());
                let own = match plan(&problem, &limits, &Tuning::HARDWARE) {
                    // A tile of the matrix's gradient, or the rows of the input's, have no room in it.
                    Err(Error::Limit(_)) if dtype.is_half() && scratch_bytes < 64 << 20 => continue,
                    own => own.unwrap_or_else(|e| panic!("{name}: {e}")),
                };
                let all: u64 = own.scratch.iter().sum();
                let most = scratch_bytes + 64 * (inputs + classes) + (1 << 20);
                assert!(all <= most, "{name}: {all} bytes, at most {most}");
                assert!(own.dispatches().all(|own| own.iterations < MAX_ITERATIONS), "{name}");
            }
        }
    }
}

/// A matrix and its gradient that lie in several buffers, where tiles, and rows of 16 bits, reach from one into the
/// next.
#[test]
fn matrices_span_buffers() {
    let mut engine = engine::fresh();
    let whole = engine.plan_limits().unwrap();
    for (dtypes, head) in [
        ([Dtype::F32; 2], vec![]),
        ([Dtype::Bf16; 2], vec![]),
        ([Dtype::F32; 2], vec![2]),
    ] {
        let case = Case {
            dtypes,
            head,
            ..Case::new(150, 401, 300)
        };
        let mut run = |max_buffer_bytes, scratch_bytes| {
            let limits = Limits {
                max_buffer_bytes,
                scratch_bytes,
                offset_alignment: 256,
                ..whole
            };
            engine.set_plan_limits(limits).unwrap();
            case.with(Mode::Fused, |loss, call| {
                let far = engine.upload(call.tensors[1]).unwrap();
                assert_eq!(far.buffers().len() > 1, max_buffer_bytes < whole.max_buffer_bytes);
                let tensors = vec![call.tensors[0], &far, call.tensors[2]];
                let call = Call {
                    tensors,
                    ..call.clone()
                };
                bits(&loss.run(&engine, &call).unwrap().read(&engine).unwrap())
            })
        };
        let want = run(whole.max_buffer_bytes, whole.scratch_bytes);
        for scratch_bytes in [whole.scratch_bytes, 400 << 10] {
            let got = run(200 << 10, scratch_bytes);
            assert!(
                got == want,
                "{}: other bits with a scratch of {scratch_bytes}",
                case.name()
            );
        }
    }
}

/// What the engine holds while it computes: beyond operands and results no more than plans say. In the long form of a
/// large vocabulary, whose logits would be 4.2 GB, and their gradient as much.
#[test]
fn calls_hold_little_memory() {
    let sizes = [(1024u64, 64usize, 12_000u64, 8 << 20), (8192, 64, 128_256, 64 << 20)];
    for (inputs, features, classes, scratch_bytes) in sizes.into_iter().take(1 + usize::from(is_long())) {
        let mut engine = engine::fresh();
        engine.set_scratch_bytes(scratch_bytes);
        let case = Case::new(inputs as usize, features, classes as usize);
        let own = case.tensors();
        let on = |tensor: &Tensor| engine.upload(tensor).unwrap();
        let signature = own.signature.each_ref().map(on);
        let loss = LinearCrossEntropy {
            linear_bias: own.loss.linear_bias.as_ref().map(on),
            ..own.loss.clone()
        };
        for mode in [Mode::Forward, Mode::Fused] {
            let call = Call {
                grads: if mode.wants_grad() { GRADS.to_vec() } else { Vec::new() },
                ..Call::new(mode, &signature.each_ref())
            };
            engine.release().unwrap();
            engine.forget_peak();
            let before = activity(&engine);
            let output = loss.run(&engine, &call).unwrap();
            let values = output.read(&engine).unwrap();
            assert!(values.loss.unwrap().data[0].is_finite());
            let grads = 4 * (inputs * features as u64 + classes * (features as u64 + 1));
            let results = if mode.wants_grad() { grads } else { 0 };
            let most = results + scratch_bytes + 64 * (inputs + classes) + (1 << 20);
            let held = activity(&engine).peak - before.live;
            let name = format!("{inputs}x{features}x{classes} {}", mode.name());
            println!("{name}: {held} bytes, at most {most}");
            assert!(held <= most, "{name}: {held}, at most {most}");
        }
    }
}

#[test]
fn a_scratch_too_small_for_a_tile_is_an_error() {
    let mut engine = engine::fresh();
    engine
        .set_plan_limits(Limits {
            scratch_bytes: 1000,
            ..engine.plan_limits().unwrap()
        })
        .unwrap();
    let error = Case::new(150, 24, 300).with(Mode::Fused, |loss, call| loss.run(&engine, call).unwrap_err());
    assert!(
        matches!(&error, Error::Limit(text) if text.contains("16384")),
        "{error}"
    );
    // Without gradients no logit is kept.
    let forward = Case::new(150, 24, 300).with(Mode::Forward, |loss, call| loss.run(&engine, call));
    assert!(forward.is_ok(), "{forward:?}");
}
