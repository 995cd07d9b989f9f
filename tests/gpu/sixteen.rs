//! 16-bit floats: as `half` has them, in and out.

use half::{bf16, f16};
use wgloss::{
    Call, Dtype, Engine, L1, Limits, LogSigmoid, LogSoftmax, Loss, Mode, Reduce, ReduceOp, Reduction, Sigmoid, Softmax,
    Tensor,
};

use super::floats;
use crate::common::against::against_reference;
use crate::common::data::Data;
use crate::common::{engine, gpu, is_long, report, takes};

/// f16 and bf16 become f32 and back as the `half` crate has it, on the device: all 65,536 patterns, four at a time and
/// one by one, and f32 numbers around every rounding boundary.
#[test]
fn every_sixteen_bit_float() {
    converted_by(gpu());
}

/// The same by integers and by the device's own functions, as far as the device has proved those.
#[test]
fn every_sixteen_bit_float_by_either_way() {
    let mut engine = engine::fresh();
    let own = engine.plan_limits().unwrap();
    for (unpacks_f16, packs_f16) in [(false, false), (true, false), (false, true), (true, true)] {
        let limits = Limits {
            unpacks_f16,
            packs_f16,
            ..own
        };
        if (unpacks_f16, packs_f16) == (own.unpacks_f16, own.packs_f16) {
            continue; // that of the test above
        }
        match engine.set_plan_limits(limits) {
            Ok(()) => converted_by(&engine),
            Err(error) => assert!(unpacks_f16 || packs_f16, "{error}"),
        }
    }
}

fn converted_by(gpu: &Engine) {
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    let same = |what: &str, got: &[f32], want: &[f32]| {
        assert_eq!(got.len(), want.len());
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let fine = g.to_bits() == w.to_bits() || g.is_nan() && w.is_nan();
            assert!(
                fine,
                "{what} [{i}]: {g:e} instead of {w:e}, {:x} and {:x}",
                g.to_bits(),
                w.to_bits()
            );
        }
    };
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let tensor = |bits: &[u16], shape: &[usize]| match dtype {
            Dtype::F16 => Tensor::new(&bits.iter().map(|&b| f16::from_bits(b)).collect::<Vec<_>>(), shape).unwrap(),
            _ => Tensor::new(&bits.iter().map(|&b| bf16::from_bits(b)).collect::<Vec<_>>(), shape).unwrap(),
        };
        let wide = |bits: u16| match dtype {
            Dtype::F16 => f16::from_bits(bits).to_f32(),
            _ => bf16::from_bits(bits).to_f32(),
        };
        let narrow = |x: f32| match dtype {
            Dtype::F16 => f16::from_f32(x).to_f32(),
            _ => bf16::from_f32(x).to_f32(),
        };
        for len in [65_536, 65_535] {
            let bits = &patterns[..len];
            let values: Vec<f32> = bits.iter().map(|&b| wide(b)).collect();
            // Loads: |x - 0| in f32.
            let (x, zero) = (tensor(bits, &[len]), tensor(&vec![0; len], &[len]));
            let l1 = L1 {
                reduction: Reduction::None,
            };
            let sizes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
            let got = l1.forward(gpu, &[&x, &zero]).unwrap().read(gpu).unwrap();
            // An adapter may flush subnormal results of f32 arithmetic, which those of bf16 are.
            let flushed = |list: &[f32]| -> Vec<f32> {
                let flush = |&v: &f32| if v.is_subnormal() { 0.0 } else { v };
                list.iter().map(flush).collect()
            };
            same(
                &format!("{dtype} loads"),
                &flushed(&got.loss.unwrap().data),
                &flushed(&sizes),
            );
            // Loads and stores: the maximum of one number is that number.
            let loss = Reduce {
                op: ReduceOp::Max,
                dim: vec![1],
                ..Default::default()
            };
            let column = tensor(bits, &[len, 1]);
            let got = loss.forward(gpu, &[&column]).unwrap().read(gpu).unwrap();
            same(&format!("{dtype} loads of rows"), &got.loss.unwrap().data, &values);
            // The gradient of a sum over a dimension of size 1 is the upstream gradient, rounded.
            let sum = Reduce {
                dim: vec![1],
                ..Default::default()
            };
            let mut near = Vec::new();
            for &v in &values {
                let bits = v.to_bits();
                // A number, the boundary behind it, and the neighbours of both.
                let half = if dtype == Dtype::F16 { 0x1000 } else { 0x8000 };
                near.extend([0, 1, half - 1, half, half + 1].map(|step: u32| f32::from_bits(bits.wrapping_add(step))));
            }
            // Subnormals of f16 have their boundaries elsewhere.
            near.extend((0..2050).map(|k| k as f32 * 2f32.powi(-25)));
            near.extend((0..2050).map(|k| -(k as f32) * 2f32.powi(-25) * (1.0 + f32::EPSILON)));
            near.extend([65519.0, 65519.996, 65520.0, 65520.004, 1e30, -65520.0, f32::MAX]);
            near.retain(|x| !x.is_subnormal());
            let count = near.len() - near.len() % 4 + (len % 2);
            near.resize(count, 1.0);
            let zeros = tensor(&vec![0; count], &[count, 1]);
            let upstream = Tensor::new(&near, &[count]).unwrap();
            let got = sum
                .backward(gpu, &[&zeros], Some(&upstream))
                .unwrap()
                .read(gpu)
                .unwrap();
            let want: Vec<f32> = near.iter().map(|&x| narrow(x)).collect();
            same(
                &format!("{dtype} stores of {count}"),
                &got.grad_input.unwrap().data,
                &want,
            );
        }
    }
}

/// Numbers of f32 all over the range, in the long form every one, become the nearest 16-bit float, or the even one of
/// two, and a NaN stays a NaN.
#[test]
fn any_number_becomes_the_nearest() {
    // Numbers to a call, calls, and the bits of number `i` of call `part`.
    let (len, parts, bits): (usize, u32, fn(u32, u32) -> u32) = match is_long() {
        true => (1 << 24, 256, |part, i| part << 24 | i),
        false => (1 << 20, 1, |_, i| i.wrapping_mul(0x9e37_79b1)),
    };
    let sum = Reduce {
        dim: vec![1],
        ..Default::default()
    };
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let zeros = Tensor::new(&vec![0f32; len], &[len, 1])
            .unwrap()
            .to_dtype(dtype)
            .unwrap();
        for part in 0..parts {
            let number = |i| f32::from_bits(bits(part, i));
            // Subnormal numbers an adapter may take for 0.
            let flushed = |x: f32| if x.is_subnormal() { 0.0 } else { x };
            let numbers: Vec<f32> = (0..len as u32).map(|i| flushed(number(i))).collect();
            let upstream = Tensor::new(&numbers, &[len]).unwrap();
            let got = sum
                .backward(gpu(), &[&zeros], Some(&upstream))
                .unwrap()
                .read(gpu())
                .unwrap();
            for (x, got) in numbers.iter().zip(&got.grad_input.unwrap().data) {
                let want = match dtype {
                    Dtype::F16 => f16::from_f32(*x).to_f32(),
                    _ => bf16::from_f32(*x).to_f32(),
                };
                let fine = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                assert!(
                    fine,
                    "{dtype}: {got:e} of {x:e}, {:x}, in place of {want:e}",
                    x.to_bits()
                );
            }
        }
    }
}

/// The functions return the input's dtype, rounded from f32.
#[test]
fn functions_return_the_inputs_dtype() {
    let mut failures = Vec::new();
    let mut data = Data::new(31);
    for (l, len) in [64usize, 67].into_iter().enumerate() {
        for (d, dtype) in Dtype::FLOATS.into_iter().enumerate() {
            let x = floats(&mut data, &[len]).to_dtype(dtype).unwrap();
            let losses: [&dyn Loss; 4] = [
                &Sigmoid::default(),
                &LogSigmoid::default(),
                &Softmax::default(),
                &LogSoftmax::default(),
            ];
            for (n, loss) in losses.into_iter().enumerate() {
                if !takes(l + d + n, 2) {
                    continue;
                }
                let call = Call::new(Mode::Forward, &[&x]);
                failures.extend(against_reference(&format!("{} {dtype}", loss.info().name), loss, &call));
                let output = loss.run(&engine::passing(), &call).unwrap().loss.unwrap();
                assert_eq!((output.dtype(), output.shape()), (dtype, &[len][..]));
            }
        }
    }
    report(failures, 24);
}

/// What the tolerance of 16-bit results rests on.
#[test]
fn rounding_is_that_of_half() {
    assert_eq!(wgloss::precision::rounded(Dtype::F16, 65519.0), 65504.0);
    assert!(wgloss::precision::rounded(Dtype::F16, 65520.0).is_infinite());
    assert_eq!(wgloss::precision::rounded(Dtype::Bf16, 1.0 + 1.0 / 256.0), 1.0);
}
