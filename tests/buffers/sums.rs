//! Gradients added to those that are there.

use half::{bf16, f16};
use wgloss::{Array, Call, CrossEntropy, Dtype, GradTo, Loss, Mode, Tensor, Values};

use super::{halves, within_an_ulp};
use crate::common::cases::blank;
use crate::common::data::Data;
use crate::common::gpu;

/// Two micro-batches in one buffer: their gradients add up.
#[test]
fn gradients_of_micro_batches_add_up() {
    let engine = gpu();
    let mut data = Data::new(6);
    for dtype in Dtype::FLOATS {
        let label = Tensor::new(&data.labels(11, 7, None), &[11]).unwrap();
        let batch = |data: &mut Data| {
            Tensor::new(&data.logits(77), &[11, 7])
                .unwrap()
                .to_dtype(dtype)
                .unwrap()
        };
        let (one, two) = (batch(&mut data), batch(&mut data));
        let loss = CrossEntropy::default();
        let sum = engine.upload(&blank(dtype, &[11, 7])).unwrap();
        let mut want = vec![0.0; 77];
        for x in [&one, &two] {
            let call = Call {
                grad_input: GradTo::AddTo(&sum),
                ..Call::new(Mode::Backward, &[x, &label])
            };
            loss.run(engine, &call).unwrap().read(engine).unwrap();
            let own = wgloss::reference::run(&loss, &Call::new(Mode::Backward, &[x, &label])).unwrap();
            want.iter_mut().zip(own.grad_input.unwrap()).for_each(|(w, g)| *w += g);
            // What lies in the buffer was rounded, and the next is added to that.
            if dtype.is_half() {
                want.iter_mut().for_each(|w| *w = wgloss::precision::rounded(dtype, *w));
            }
        }
        let values = Values {
            grad_input: Some(Array {
                shape: vec![11, 7],
                data: halves(&sum, engine)
                    .chunks(dtype.bytes() as usize / 2)
                    .map(|c| widen(dtype, c))
                    .collect(),
                dtype,
            }),
            ..Default::default()
        };
        assert_eq!(within_an_ulp(dtype.name(), dtype, &values, &want), None);
    }
}

fn widen(dtype: Dtype, words: &[u16]) -> f32 {
    match dtype {
        Dtype::F16 => f16::from_bits(words[0]).to_f32(),
        Dtype::Bf16 => bf16::from_bits(words[0]).to_f32(),
        _ => f32::from_bits(u32::from(words[0]) | u32::from(words[1]) << 16),
    }
}
