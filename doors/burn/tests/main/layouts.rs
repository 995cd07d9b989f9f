//! Ranks, layouts and dtypes.

use burn::tensor::{Bool, DType, Int, Tensor, TensorData};
use wgloss_burn::{Bce, CrossEntropy, LossCall, Mse, Operand, Reduction, Softmax, SoftmaxFocal, cross_entropy};

use crate::common::{Numbers, device, near, numbers};

fn labels(classes: &[i32], device: &burn::tensor::Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::from(classes), device)
}

#[test]
fn layouts_make_no_difference() {
    let device = device().autodiff();
    let mut random = Numbers::new(11);
    let targets = labels(&random.classes(7, 6), &device);
    let whole = random.tensor([9, 8], &device);
    type View = fn(Tensor<2>) -> Tensor<2>;
    let views: [(&str, View); 5] = [
        ("transposed", |x| x.slice([0..6, 0..7]).transpose()),
        ("padded rows", |x| x.slice([0..7, 0..6])),
        ("rows from the middle", |x| x.slice([2..9, 1..7])),
        ("one row for all", |x| x.slice([3..4, 0..6]).expand([7, 6])),
        ("flipped", |x| x.slice([0..7, 0..6]).flip([0, 1])),
    ];
    for (name, view) in views {
        let base = whole.clone().require_grad();
        let seen = view(base.clone());
        let plain = Tensor::<2>::from_data(seen.clone().into_data(), &device).require_grad();
        let a = cross_entropy::<1>(&seen, &targets, &CrossEntropy::default()).unwrap();
        let b = cross_entropy::<1>(&plain, &targets, &CrossEntropy::default()).unwrap();
        near(name, &numbers(a.clone()), &numbers(b.clone()), 0.0);
        let grad = plain.grad(&b.backward()).unwrap();
        // What the view does to a gradient is burn's.
        let again = whole.clone().require_grad();
        let through = (view(again.clone()) * Tensor::from_inner(grad)).sum().backward();
        let (own, theirs) = (base.grad(&a.backward()).unwrap(), again.grad(&through).unwrap());
        near(name, &numbers(own), &numbers(theirs), 1e-7);
    }
}

#[test]
fn ranks_from_one_to_four() {
    let device = device().autodiff();
    let mut random = Numbers::new(13);
    // One row alone, whose label stands in a dimension of its own, for want of tensors of rank 0.
    let row = random.tensor([5], &device).require_grad();
    let none = CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    };
    let single = cross_entropy::<1>(&row, labels(&[3], &device), &none).unwrap();
    let array = row.clone().reshape([1, 5]);
    let rows = cross_entropy::<1>(&array, labels(&[3], &device), &none).unwrap();
    near("one row", &numbers(single.clone()), &numbers(rows), 1e-6);
    assert_eq!(row.grad(&single.backward()).unwrap().dims(), [5]);

    // Classes along the second dimension, as PyTorch has them.
    let images = random.tensor([2, 4, 3, 5], &device).require_grad();
    let classes = random.classes(30, 4);
    let targets = Tensor::<3, Int>::from_data(TensorData::new(classes.clone(), [2, 3, 5]), &device);
    let each: Tensor<3> = cross_entropy(&images, &targets, &none).unwrap();
    assert_eq!(each.dims(), [2, 3, 5]);
    let flat = images.clone().permute([0, 2, 3, 1]).reshape([30, 4]);
    let rows = cross_entropy::<1>(flat, labels(&classes, &device), &none).unwrap();
    near("images", &numbers(each), &numbers(rows), 1e-6);

    let softmax: Tensor<4> = wgloss_burn::softmax(
        &images,
        &Softmax {
            dim: 2,
            ..Default::default()
        },
    )
    .unwrap();
    let burns = burn::tensor::activation::softmax(images, 2);
    near("softmax along dimension 2", &numbers(softmax), &numbers(burns), 1e-6);
}

#[test]
fn no_rows_at_all() {
    let device = device().autodiff();
    let logits = Tensor::<2>::from_data(TensorData::new(Vec::<f32>::new(), [0, 5]), &device).require_grad();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(Vec::<i32>::new(), [0]), &device);
    let loss = cross_entropy::<1>(&logits, &targets, &CrossEntropy::default()).unwrap();
    assert!(numbers(loss.clone())[0].is_nan());
    let grad = logits.grad(&loss.backward());
    assert!(grad.is_none_or(|grad| grad.dims() == [0, 5]));
}

#[test]
fn halves_keep_their_dtype() {
    let device = device().autodiff();
    let mut random = Numbers::new(17);
    let data = TensorData::new(random.reals(15), [5, 3]); // an odd number of halves
    let targets = labels(&[0, 1, 2, 1, 0], &device);
    for dtype in [DType::F16, DType::BF16] {
        let half = data.clone().convert_dtype(dtype);
        let logits = Tensor::<2>::from_data(half.clone(), (&device, dtype)).require_grad();
        let single = Tensor::<2>::from_data(half.convert::<f32>(), &device).require_grad();
        let own = cross_entropy::<1>(&logits, &targets, &CrossEntropy::default()).unwrap();
        let truth = cross_entropy::<1>(&single, &targets, &CrossEntropy::default()).unwrap();
        assert_eq!(own.dtype(), DType::F32, "losses are f32");
        near("half", &numbers(own.clone()), &numbers(truth.clone()), 1e-6);
        let grad = logits.grad(&own.backward()).unwrap();
        assert_eq!(grad.dtype(), dtype);
        let truth = numbers(single.grad(&truth.backward()).unwrap());
        near(
            "half",
            &numbers(grad),
            &truth,
            if dtype == DType::F16 { 5e-4 } else { 4e-3 },
        );
        let softmax: Tensor<2> = wgloss_burn::softmax(&logits, &Softmax::default()).unwrap();
        assert_eq!(softmax.dtype(), dtype, "functions keep their input's");
        if dtype == DType::F16 {
            // An upstream gradient of halves.
            let grads = softmax.cast(DType::F32).square().sum().backward();
            let grad = logits.grad(&grads).unwrap();
            assert_eq!(grad.dtype(), dtype);
            let burns = burn::tensor::activation::softmax(single.clone(), 1)
                .square()
                .sum()
                .backward();
            near("softmax", &numbers(grad), &numbers(single.grad(&burns).unwrap()), 2e-3);
        }
    }
}

#[test]
fn labels_of_every_width_and_truth_values() {
    let device = device();
    let mut random = Numbers::new(19);
    let logits = random.tensor([6, 2], &device);
    let mask = [true, false, false, true, true, false];
    let classes: Vec<i32> = mask.iter().map(|&is| is.into()).collect();
    let wanted = cross_entropy::<1>(&logits, labels(&classes, &device), &CrossEntropy::default()).unwrap();
    let wanted = numbers(wanted);
    for dtype in [DType::I32, DType::U32, DType::I64, DType::U8] {
        let data = TensorData::from(&classes[..]).convert_dtype(dtype);
        let targets = Tensor::<1, Int>::from_data(data, (&device, dtype));
        let own = cross_entropy::<1>(&logits, &targets, &CrossEntropy::default()).unwrap();
        near(dtype.name(), &numbers(own), &wanted, 0.0);
    }
    let targets = Tensor::<1, Bool>::from_data(TensorData::from(&mask[..]), &device);
    let own = cross_entropy::<1>(&logits, &targets, &CrossEntropy::default()).unwrap();
    near("bool", &numbers(own), &wanted, 0.0);
    let own = wgloss_burn::softmax_focal::<1>(
        &logits,
        &targets,
        &SoftmaxFocal {
            gamma: 0.0,
            ..Default::default()
        },
    );
    near("bool", &numbers(own.unwrap()), &wanted, 1e-6);

    // A mask of the rows that count.
    let rows = Tensor::<1, Bool>::from_data(TensorData::from([true, true, false, true, false, true]), &device);
    let options = CrossEntropy {
        sample_weight: Some(Operand::from(&rows)),
        ..Default::default()
    };
    let own = numbers(cross_entropy::<1>(&logits, &targets, &options).unwrap());
    let options = CrossEntropy {
        sample_weight: Some(rows.float().into()),
        ..Default::default()
    };
    near(
        "mask",
        &own,
        &numbers(cross_entropy::<1>(&logits, &targets, &options).unwrap()),
        0.0,
    );

    // Truth values where probabilities and numbers are expected.
    let probabilities = burn::tensor::activation::sigmoid(logits.clone());
    let mask: Tensor<2, Bool> = logits.clone().greater_elem(0.0);
    for (name, ours, plain) in [
        ("bce", LossCall::of(&Bce::default()), LossCall::of(&Bce::default())),
        ("mse", LossCall::of(&Mse::default()), LossCall::of(&Mse::default())),
    ] {
        let own = ours
            .input(&probabilities)
            .target(&mask)
            .run()
            .unwrap()
            .loss::<1>()
            .unwrap();
        let plain = plain
            .input(&probabilities)
            .target(mask.clone().float())
            .run()
            .unwrap()
            .loss::<1>()
            .unwrap();
        near(name, &numbers(own), &numbers(plain), 0.0);
    }
}

#[test]
fn masks_of_every_width_and_layout() {
    let device = device();
    let mut random = Numbers::new(73);
    let probabilities = burn::tensor::activation::sigmoid(random.tensor([3, 5], &device));
    let logits = random.tensor([3, 2, 5], &device);
    let mask: Vec<i32> = (0..15).map(|i| (i % 4 == 0).into()).collect();
    let data = TensorData::new(mask, [5, 3]);
    let single = Tensor::<2>::from_data(data.clone().convert::<f32>(), &device).transpose();
    let labels = Tensor::<2, Int>::from_data(data.clone(), &device).transpose();
    let bce = |target: Operand| numbers(wgloss_burn::bce::<1>(&probabilities, target, &Bce::default()).unwrap());
    let classes =
        |target: &Tensor<2, Int>| numbers(cross_entropy::<1>(&logits, target, &CrossEntropy::default()).unwrap());
    for dtype in [DType::U8, DType::I32, DType::U32, DType::I64] {
        let mask = Tensor::<2, Int>::from_data(data.clone().convert_dtype(dtype), (&device, dtype)).transpose();
        near(dtype.name(), &bce((&mask).into()), &bce((&single).into()), 0.0);
        near(dtype.name(), &classes(&mask), &classes(&labels), 0.0);
    }
    let negative = Tensor::<2, Int>::from_data([[-3, 70000, 5]], &device);
    let wide = Tensor::<2, Int>::from_data(TensorData::from([[-3i64, 70000, 1 << 40]]), (&device, DType::I64));
    let zero = Tensor::<2>::zeros([1, 3], &device);
    let none = wgloss_burn::L1 {
        reduction: Reduction::None,
    };
    for (given, truth) in [
        (negative, [3.0, 70000.0, 5.0]),
        (wide, [3.0, 70000.0, (1u64 << 40) as f64]),
    ] {
        let own: Tensor<2> = wgloss_burn::l1(&zero, given, &none).unwrap();
        near("integers", &numbers(own), &truth, 0.0);
    }
}
