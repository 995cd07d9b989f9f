//! Integers where floats are expected: taken as their values by every loss, on the host and in pages, for every
//! operand; refused on a device, and by gradients, with the cure.

use wgloss::{
    BceWithLogits, Call, Dtype, Engine, GradTo, Loss, Mode, Mse, OperandKind, REGISTRY, Reduce, ReduceOp, Stream,
    Tensor,
};

use crate::common::cases::{Setup, Style, by_rows, make};
use crate::common::own::{paged, values};
use crate::common::{bits, engine, gpu, report, takes};

/// Small whole numbers, as those of a dtype: 0 and 1 alone, where an operand holds probabilities.
fn whole(kind: Option<OperandKind>, shape: &[usize], dtype: Dtype) -> Tensor {
    let most = match kind {
        Some(OperandKind::UnitInterval | OperandKind::MaybeLogProbability) => 2,
        _ => 4,
    };
    let numbers = || (0..shape.iter().product::<usize>() as i64).map(move |i| i * 7 % 5 % most);
    match dtype {
        Dtype::U8 => Tensor::new(&numbers().map(|x| x as u8).collect::<Vec<_>>(), shape),
        Dtype::I32 => Tensor::new(&numbers().map(|x| x as i32).collect::<Vec<_>>(), shape),
        Dtype::U32 => Tensor::new(&numbers().map(|x| x as u32).collect::<Vec<_>>(), shape),
        _ => Tensor::new(&numbers().collect::<Vec<_>>(), shape),
    }
    .unwrap()
}

/// Each operand that holds numbers in turn, and the upstream gradient: the bits of the same numbers as floats.
#[test]
fn every_operand_of_every_loss_takes_them() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (nth, info) in REGISTRY.iter().enumerate() {
        let setup = Setup {
            full: true,
            given: true,
            setting: by_rows(info),
            style: Style::Coarse,
            ..Setup::new(&[6, 5])
        };
        if !takes(nth, 2) {
            continue;
        }
        let Some(mut case) = make(info, &setup) else {
            failures.push(format!("{}: no case", info.name));
            continue;
        };
        let optional: Vec<_> = case
            .loss
            .tensors()
            .iter()
            .map(|(role, own)| (*role, (*own).clone()))
            .collect();
        let operands = info.operands.iter().map(|own| (own.role, Some(own.kind)));
        let all = operands.chain(optional.iter().map(|(role, _)| (*role, None)));
        for (place, (role, kind)) in all.enumerate() {
            let is_optional = place >= info.operands.len();
            let own = match is_optional {
                true => optional[place - info.operands.len()].1.clone(),
                false => case.tensors[place].clone(),
            };
            if kind.is_some_and(OperandKind::is_classes) {
                continue;
            }
            let dtype = Dtype::LABELS[(nth + place) % 4];
            let integers = whole(kind, own.shape(), dtype);
            let floats = integers.to_dtype(Dtype::F32).unwrap();
            let passing = engine::passing();
            // Gradients of the first exist where that is of floats.
            let mode = if place == 0 || !case.differentiable {
                Mode::Forward
            } else {
                Mode::Fused
            };
            let mut results: Vec<Vec<u32>> = Vec::new();
            for given in [&floats, &integers, &paged(&integers)] {
                if is_optional {
                    case.loss.attach(role, given.clone()).unwrap();
                }
                let mut tensors: Vec<&Tensor> = case.tensors.iter().collect();
                if !is_optional {
                    tensors[place] = given;
                }
                let call = Call {
                    grad_output: (mode == Mode::Fused).then_some(&case.upstream),
                    ..Call::new(mode, &tensors)
                };
                for engine in [&*passing, &Engine::cpu()] {
                    let what = format!("{} {} {}", info.name, role.name(), given.dtype());
                    let made = Stream::within(64 << 20).run(engine, case.loss.as_ref(), &call);
                    match made {
                        Ok((values, _)) => results.push(bits(&values)),
                        Err(error) => failures.push(format!("{what}: {error}")),
                    }
                }
            }
            total += 1;
            let same = results.len() == 6 && results.iter().enumerate().all(|(n, own)| *own == results[n % 2]);
            if !same {
                failures.push(format!("{} {}: other bits as {dtype}", info.name, role.name()));
            }
            if is_optional {
                case.loss.attach(role, own).unwrap();
            }
        }
    }
    report(failures, total);
}

/// Beyond 2^24 a device rounds to f32; the processor adds up exactly, up to 2^53.
#[test]
fn sums_of_integers_are_exact_on_the_processor() {
    let large = (1i64 << 53) - 8;
    for (numbers, sum) in [
        (vec![16_777_217i64, 1, -3], 16_777_215.0),
        (vec![large, 5, 2], (1i64 << 53) as f64 - 1.0),
    ] {
        let x = Tensor::new(&numbers, &[3]).unwrap();
        for dim in [vec![], vec![0]] {
            let loss = Reduce {
                dim,
                ..Default::default()
            };
            let own = loss
                .forward(&Engine::cpu(), &[&x])
                .unwrap()
                .read(&Engine::cpu())
                .unwrap();
            assert_eq!(own.exact, Some(vec![sum]));
            assert_eq!(own.loss.unwrap().data, [sum as f32]);
            let mut streamed = Stream::within(1 << 20);
            let call = Call::new(Mode::Forward, &[&x]);
            let (own, _) = streamed.run(&Engine::cpu(), &loss, &call).unwrap();
            assert_eq!(own.exact, Some(vec![sum]), "streamed");
        }
        // What a device makes of the rounded numbers.
        let rounded: f64 = numbers.iter().map(|&x| f64::from(x as f32)).sum();
        let own = Reduce::default().forward(gpu(), &[&x]).unwrap().read(gpu()).unwrap();
        let got = f64::from(own.loss.unwrap().data[0]);
        assert!((got - rounded).abs() <= 4.0 * f64::from(f32::EPSILON) * rounded.abs() && own.exact.is_none());
    }
    // Floats have no such value, nor has the place of one.
    let floats = Tensor::new(&[1.0f32], &[1]).unwrap();
    let read = |loss: &Reduce, x: &Tensor| {
        loss.forward(&Engine::cpu(), &[x])
            .unwrap()
            .read(&Engine::cpu())
            .unwrap()
    };
    assert!(read(&Reduce::default(), &floats).exact.is_none());
    let argmax = Reduce {
        op: ReduceOp::Argmax,
        ..Default::default()
    };
    let x = Tensor::new(&[3i64, 9, 1], &[3]).unwrap();
    let own = read(&argmax, &x);
    assert_eq!((own.exact, own.argmax.unwrap().data), (None, vec![1]));
}

#[test]
fn an_input_of_integers_goes_with_the_floats_there_are() {
    let x = Tensor::new(&[1i32, 2, 3], &[3]).unwrap();
    let t = Tensor::new(&[0.5f32, 0.5, 0.5], &[3]).unwrap();
    for dtype in Dtype::FLOATS {
        let t = t.to_dtype(dtype).unwrap();
        for engine in [gpu(), &Engine::cpu()] {
            let values = Mse::default().forward(engine, &[&x, &t]).unwrap().read(engine).unwrap();
            assert_eq!(values.scalar(), Some((0.25 + 2.25 + 6.25) / 3.0), "{dtype}");
        }
    }
}

#[test]
fn truth_values_and_numbers_become_tensors() {
    let mask = Tensor::try_from((&[true, false, true][..], [3])).unwrap();
    assert_eq!(
        (mask.dtype(), mask.as_slice::<u8>().unwrap()),
        (Dtype::U8, &[1u8, 0, 1][..])
    );
    let number = Tensor::try_from(0.5f32).unwrap();
    assert_eq!(
        (number.shape(), number.as_slice::<f32>().unwrap()),
        (&[][..], &[0.5f32][..])
    );
}

#[test]
fn what_cannot_be_is_told_with_the_cure() {
    let x = Tensor::new(&[0.5f32, 1.0, -1.0], &[3]).unwrap();
    let t = Tensor::new(&[1i64, 0, 1], &[3]).unwrap();
    let bce = BceWithLogits::default();
    let on_device = gpu().upload(&t).unwrap();
    let error = bce.forward(gpu(), &[&x, &on_device]).unwrap_err().to_string();
    let cure =
        "target: is i64 on the device, where floats are expected: convert it before the upload (Tensor::to_dtype)";
    assert_eq!(error, cure);
    assert!(
        on_device
            .to_dtype(Dtype::F32)
            .unwrap_err()
            .to_string()
            .contains("expected a tensor on the host")
    );
    for engine in [gpu(), &Engine::cpu()] {
        let error = bce.forward_backward(engine, &[&t, &x], None).unwrap_err().to_string();
        assert_eq!(error, "input: is i64: there is no gradient by integers, only by floats");
        let call = Call {
            grads: vec![wgloss::Role::Target],
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        let error = bce.run(engine, &call).unwrap_err().to_string();
        assert_eq!(
            error,
            "target: is i64: there is no gradient by integers, only by floats"
        );
    }
    // Backwards with integers that need no gradient is a call like others, also over the input.
    let held = gpu().upload(&x).unwrap();
    let call = Call {
        grad_input: GradTo::InPlace,
        ..Call::new(Mode::Fused, &[&held, &t])
    };
    let own = values(&bce.run(gpu(), &call).unwrap(), gpu());
    let want = bce
        .forward_backward(gpu(), &[&x, &t.to_dtype(Dtype::F32).unwrap()], None)
        .unwrap();
    assert_eq!(bits(&own), bits(&want.read(gpu()).unwrap()));
}
