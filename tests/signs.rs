//! `Checks::strict` of the losses of signs: what is neither 1 nor -1 is reported, by its bits, and computed with.

use wgloss::{
    Call, Checks, CosineEmbedding, Dtype, Engine, Error, HingeEmbedding, Loss, MarginRanking, Mode, SoftMargin, Tensor,
};

use crate::common::{bits, gpu};

const STRICT: Checks = Checks {
    strict: true,
    nan: wgloss::OnNan::Propagate,
};

fn tensor(data: &[f32], shape: &[usize], dtype: Dtype) -> Tensor {
    Tensor::new(data, shape).unwrap().to_dtype(dtype).unwrap()
}

/// The neighbours of 1 in a dtype.
fn beside_one(dtype: Dtype) -> [f32; 2] {
    match dtype {
        Dtype::F16 => [1.0 - f32::powi(2.0, -11), 1.0 + f32::powi(2.0, -10)],
        Dtype::Bf16 => [1.0 - f32::powi(2.0, -8), 1.0 + f32::powi(2.0, -7)],
        _ => [f32::from_bits(1.0f32.to_bits() - 1), 1.0 + f32::EPSILON],
    }
}

#[test]
fn what_is_neither_1_nor_minus_1_is_reported() {
    let losses: [&dyn Loss; 4] = [
        &HingeEmbedding::default(),
        &SoftMargin::default(),
        &MarginRanking::default(),
        &CosineEmbedding::default(),
    ];
    for (n, loss) in losses.into_iter().enumerate() {
        let dtype = Dtype::FLOATS[n % 3];
        let rows = loss.info().name == "cosine_embedding";
        let shape: &[usize] = if rows { &[7, 3] } else { &[7] };
        let numbers: Vec<f32> = (0..shape.iter().product())
            .map(|i: usize| 0.25 * i as f32 - 1.0)
            .collect();
        let x = tensor(&numbers, shape, dtype);
        let [below, above] = beside_one(dtype);
        for bad in [below, above, -below, -above, 0.0, -0.0, 2.0, f32::INFINITY, f32::NAN] {
            let target = tensor(&[1.0, -1.0, 1.0, 1.0, bad, -1.0, bad], &[7], dtype);
            let good = tensor(&[1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0], &[7], dtype);
            let call = |target, checks| {
                let mut tensors = vec![&x; loss.info().operands.len() - 1];
                tensors.push(target);
                Call {
                    checks,
                    ..Call::new(Mode::Fused, &tensors)
                }
            };
            for engine in [gpu(), &Engine::cpu()] {
                let read = |call: &Call<'_>| loss.run(engine, call).unwrap().read(engine);
                let plain = read(&call(&target, Checks::default())).unwrap();
                read(&call(&good, STRICT)).unwrap();
                let Err(Error::BadValues {
                    name,
                    count,
                    of,
                    first,
                    value,
                    expected,
                    values,
                }) = read(&call(&target, STRICT))
                else {
                    panic!("{} takes {bad}", loss.info().name);
                };
                assert_eq!(
                    (name, count, of, first.as_slice(), expected),
                    ("target", 2, 7, &[4][..], "1 or -1")
                );
                assert_eq!(value.to_bits(), bad.to_bits(), "{bad}");
                assert!(bits(&plain) == bits(&values), "{} of {bad}", loss.info().name);
            }
        }
    }
}
