//! Weights of single elements in `multilabel_soft_margin`: any shape that broadcasts to the input's.

use wgloss::{BceWithLogits, Call, Dtype, Engine, Loss, Mode, MultilabelSoftMargin, Reduction, Role, Stream, Tensor};

use crate::common::against::against_reference;
use crate::common::data::Data;
use crate::common::own::paged;
use crate::common::{F32, bits, gpu, report, takes};

fn weighed(weight: Tensor, reduction: Reduction) -> MultilabelSoftMargin {
    MultilabelSoftMargin {
        weight: Some(weight),
        reduction,
    }
}

fn call<'a>(x: &'a Tensor, y: &'a Tensor) -> Call<'a> {
    Call {
        grads: vec![Role::Target],
        ..Call::new(Mode::Fused, &[x, y])
    }
}

/// The sum of the losses is that of a binary cross-entropy with the same weights, over the classes.
#[test]
fn weights_broadcast_with_the_elements() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let mut data = Data::new(51);
    let wide = 40_000;
    for (shape, weights) in [
        (
            &[5usize, 5][..],
            &[&[5usize, 5][..], &[5], &[1, 5], &[5, 1], &[1], &[], &[1, 1]][..],
        ),
        (&[7], &[&[7], &[1], &[]]),
        (&[3, 4, 6], &[&[3, 4, 6], &[4, 1], &[3, 1, 6], &[1, 4, 6], &[6]]),
        (&[300, 33], &[&[300, 33], &[300, 1]]),
        (&[3, wide], &[&[3, wide], &[3, 1], &[wide]]),
    ] {
        let len = shape.iter().product();
        let x = Tensor::new(&data.logits(len), shape).unwrap();
        let y = Tensor::new(&data.uniform(len, 0.0, 1.0), shape).unwrap();
        for (nth, own) in weights.iter().enumerate() {
            let weight = Tensor::new(&data.uniform(own.iter().product(), 0.5, 2.0), own).unwrap();
            let dtype = [Dtype::F32, Dtype::F16, Dtype::Bf16][nth % 3];
            for (r, reduction) in [Reduction::None, Reduction::Sum].into_iter().enumerate() {
                if !takes(nth + r, 2) {
                    continue;
                }
                let [x, y, weight] = [&x, &y, &weight].map(|own| own.to_dtype(dtype).unwrap());
                let loss = weighed(weight.clone(), reduction);
                total += 1;
                let what = format!("{shape:?} {dtype} weighed by {own:?}, {}", reduction.name());
                failures.extend(against_reference(&what, &loss, &call(&x, &y)));
                let bce = BceWithLogits {
                    weight: Some(weight.to_dtype(Dtype::F32).unwrap()),
                    reduction: Reduction::Sum,
                    ..Default::default()
                };
                let [x, y, weight] = [&x, &y, &weight].map(|own| own.to_dtype(Dtype::F32).unwrap());
                let loss = weighed(weight, reduction);
                let sum = wgloss::reference::run(&bce, &Call::new(Mode::Forward, &[&x, &y]))
                    .unwrap()
                    .loss[0];
                let all = loss
                    .forward(&Engine::cpu(), &[&x, &y])
                    .unwrap()
                    .read(&Engine::cpu())
                    .unwrap();
                let all: f64 = all.loss.unwrap().data.iter().map(|&own| f64::from(own)).sum();
                let want = sum / *shape.last().unwrap() as f64;
                failures.extend(F32.check(&format!("{what}, beside bce"), &[all as f32], &[want]).err());
            }
        }
    }
    report(failures, total);
}

/// Streamed in slices, with each kind of weight: the same bits.
#[test]
fn streams_find_the_weights_of_their_part() {
    let mut data = Data::new(52);
    let shape = [4000usize, 37];
    let x = Tensor::new(&data.logits(4000 * 37), &shape).unwrap();
    let y = Tensor::new(&data.uniform(4000 * 37, 0.0, 1.0), &shape).unwrap();
    for own in [&[4000usize, 37][..], &[4000, 1], &[37]] {
        let weight = Tensor::new(&data.uniform(own.iter().product(), 0.5, 2.0), own).unwrap();
        // What broadcasts takes scratch of the input's size.
        let memory = if own == [4000, 1] { 7 << 19 } else { 3 << 20 };
        for engine in [gpu(), &Engine::cpu()] {
            let whole = weighed(weight.clone(), Reduction::None)
                .run(engine, &call(&x, &y))
                .unwrap();
            let far = weighed(paged(&weight), Reduction::None);
            let (far_x, far_y) = (paged(&x), paged(&y));
            let (streamed, report) = Stream::within(memory).run(engine, &far, &call(&far_x, &far_y)).unwrap();
            assert!(report.parts > 1, "{own:?}: one part");
            assert!(bits(&whole.read(engine).unwrap()) == bits(&streamed), "{own:?}");
        }
    }
}

#[test]
fn weights_that_do_not_fit_are_told() {
    let x = Tensor::new(&[0.0f32; 15], &[3, 5]).unwrap();
    for own in [&[3usize][..], &[5, 3], &[2, 3, 5]] {
        let weight = Tensor::new(&vec![1.0f32; own.iter().product()], own).unwrap();
        let error = weighed(weight, Reduction::Mean)
            .forward(gpu(), &[&x, &x])
            .unwrap_err()
            .to_string();
        let wanted =
            "weight: expected shape [5] (one for each class), or one that broadcasts to the input's [3, 5], got";
        assert!(error.starts_with(wanted), "{error}");
    }
}
