//! Shapes, dtypes and options that no call takes.

use wgloss::{
    BceWithLogits, Call, CrossEntropy, Dtype, GaussianNll, L1, Loss, Mode, Mse, Nll, Reduce, Reduction, Role,
    SigmoidFocal, Softmax, Stats, Tensor,
};

use super::{both, message};

#[test]
fn shapes_dtypes_and_options_are_refused_with_the_numbers() {
    let floats = |shape: &[usize]| Tensor::new(&vec![0.0f32; shape.iter().product()], shape).unwrap();
    let labels = |shape: &[usize]| Tensor::new(&vec![0i64; shape.iter().product()], shape).unwrap();
    let ce = CrossEntropy::default();
    let says = |result: wgloss::Result<wgloss::Output>, words: &[&str]| {
        let text = message(result);
        assert!(
            words.iter().all(|word| text.contains(word)),
            "{text:?} lacks one of {words:?}"
        );
    };
    both(|engine| {
        says(
            ce.forward(engine, &[&floats(&[4, 3]), &labels(&[5])]),
            &["target", "[4]", "[5]"],
        );
        says(
            ce.forward(engine, &[&floats(&[4, 3]), &floats(&[4])]),
            &["target", "[4, 3]", "[4]"],
        );
        says(ce.forward(engine, &[&floats(&[]), &labels(&[])]), &["input", "0-d"]);
        says(
            ce.forward(engine, &[&floats(&[4, 0]), &labels(&[4])]),
            &["input", "0 classes"],
        );
        says(
            ce.forward_backward(engine, &[&labels(&[4, 3]), &labels(&[4])], None),
            &["input", "i64", "no gradient by integers"],
        );
        let weight = CrossEntropy {
            weight: Some(floats(&[4])),
            ..Default::default()
        };
        says(
            weight.forward(engine, &[&floats(&[4, 3]), &labels(&[4])]),
            &["weight", "[3]", "[4]"],
        );
        let smooth = CrossEntropy {
            label_smoothing: 1.5,
            ..Default::default()
        };
        says(
            smooth.forward(engine, &[&floats(&[4, 3]), &labels(&[4])]),
            &["label_smoothing", "1.5"],
        );
        let ignore = CrossEntropy {
            ignore_index: 2,
            ..Default::default()
        };
        says(
            ignore.forward(engine, &[&floats(&[4, 3]), &floats(&[4, 3])]),
            &["ignore_index", "2"],
        );
        let upstream = floats(&[3]);
        says(
            ce.backward(engine, &[&floats(&[4, 3]), &labels(&[4])], Some(&upstream)),
            &["grad_output", "[3]", "mean"],
        );
        let bce = BceWithLogits::default();
        says(
            bce.forward(engine, &[&floats(&[4, 3]), &floats(&[4, 1])]),
            &["target", "[4, 3]", "[4, 1]"],
        );
        says(
            bce.forward(engine, &[&floats(&[4, 3]), &labels(&[4, 1])]),
            &["target", "[4, 3]", "[4, 1]"],
        );
        let wide = BceWithLogits {
            pos_weight: Some(floats(&[4])),
            ..Default::default()
        };
        says(
            wide.forward(engine, &[&floats(&[4, 3]), &floats(&[4, 3])]),
            &["pos_weight", "[4]", "[4, 3]"],
        );
        says(
            L1::default().forward(engine, &[&floats(&[4, 3]), &floats(&[4])]),
            &["target", "[4]", "[4, 3]"],
        );
        for var in [&[2usize][..], &[4, 3, 1], &[4, 2]] {
            says(
                GaussianNll::default().forward(engine, &[&floats(&[4, 3]), &floats(&[4, 3]), &floats(var)]),
                &["var", &format!("{var:?}")],
            );
        }
        says(
            Nll::default().forward(engine, &[&floats(&[4, 3])]),
            &["2", "input, target", "1"],
        );
        let dim = Softmax {
            dim: 2,
            ..Default::default()
        };
        says(dim.forward(engine, &[&floats(&[4, 3])]), &["dim", "2", "-2 to 1"]);
        let (sums, wrong) = (
            Reduce {
                dim: vec![1],
                keepdim: true,
                ..Default::default()
            },
            floats(&[4]),
        );
        says(
            sums.backward(engine, &[&floats(&[4, 3])], Some(&wrong)),
            &["grad_output", "[4, 1]", "[4]"],
        );
        let sum_divided = CrossEntropy {
            denominator: Some(2.0),
            reduction: Reduction::Sum,
            ..Default::default()
        };
        says(
            sum_divided.forward(engine, &[&floats(&[4, 3]), &labels(&[4])]),
            &["denominator", "sum"],
        );
        let weighted = CrossEntropy {
            sample_weight: Some(floats(&[3])),
            ..Default::default()
        };
        says(
            weighted.forward(engine, &[&floats(&[4, 3]), &labels(&[4])]),
            &["sample_weight", "[4]", "[3]"],
        );
        let halves = |shape: &[usize], dtype| floats(shape).to_dtype(dtype).unwrap();
        says(
            Mse::default().forward(engine, &[&halves(&[4], Dtype::F16), &halves(&[4], Dtype::Bf16)]),
            &["target", "f16", "bf16"],
        );
        says(
            Mse::default().forward(engine, &[&floats(&[4]), &halves(&[4], Dtype::F16)]),
            &["target", "f32", "f16"],
        );
        let full = floats(&[4, 3]);
        let accuracy = Call {
            stats: Stats {
                accuracy: true,
                ..Default::default()
            },
            ..Call::new(Mode::Forward, &[&full, &full])
        };
        says(ce.run(engine, &accuracy), &["target", "accuracy", "indices"]);
        for (alpha, gamma, word) in [(2.0, 2.0, "alpha"), (0.5, -1.0, "gamma"), (0.5, f64::NAN, "gamma")] {
            let focal = SigmoidFocal {
                alpha,
                gamma,
                ..Default::default()
            };
            says(focal.forward(engine, &[&floats(&[4]), &floats(&[4])]), &[word]);
        }
    });
    assert!(message(Tensor::new(&[0.0f32; 5], &[2, 3])).contains("[2, 3]"));
    assert!(Tensor::new(&[0.0f32; 0], &[usize::MAX, 2]).is_err());
    let (x, classes) = (floats(&[2, 3]), labels(&[2]));
    let call = Call {
        grads: vec![Role::Target],
        ..Call::new(Mode::Fused, &[&x, &classes])
    };
    assert!(ce.problem(&call).is_err(), "class indices have no gradient");
}
