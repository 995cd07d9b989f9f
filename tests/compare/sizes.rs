//! What a number may be off by: by what it is stored as, the terms that it is made of, and the digits of its inputs.

use wgloss::reference::{self, Mine, assert_close, compare};
use wgloss::{Call, Dtype, Engine, L1, Mode, Mse, Reduce, Reduction, Role, TripletMargin};

use super::{close, numbers, tensor, values};
use crate::common::gpu;

#[test]
fn nan_and_infinities_are_where_the_reference_has_them() {
    let x = tensor(&[f32::NAN, f32::INFINITY, 1.0, f32::MAX], &[4]);
    let t = tensor(&[0.0, 0.0, 3.0, -f32::MAX], &[4]);
    let loss = L1 {
        reduction: Reduction::None,
    };
    let call = Call::new(Mode::Forward, &[&x, &t]);
    let right = [f32::NAN, f32::INFINITY, 2.0, f32::INFINITY];
    assert_close(&loss, &call, &right);
    for (index, wrong) in [
        (0, 0.0),
        (1, f32::MAX),
        (1, f32::NEG_INFINITY),
        (1, f32::NAN),
        (2, f32::NAN),
        (3, f32::MAX),
    ] {
        let mut mine = right;
        mine[index] = wrong;
        let found = compare(&loss, &call, &mine).unwrap();
        assert_eq!(
            (found.results[0].off, &found.results[0].worst[0].index),
            (1, &vec![index]),
            "{found}"
        );
    }
}

/// Numbers of 16 bits are allowed their rounding, those of 32 bits are not.
#[test]
fn numbers_are_judged_as_what_they_are_stored_as() {
    let (x, t) = (numbers(1, 64), numbers(2, 64));
    let [x, t] = [x, t].map(|own| tensor(&own, &[64]).to_dtype(Dtype::Bf16).unwrap());
    let loss = Mse {
        reduction: Reduction::None,
    };
    let call = Call::new(Mode::Forward, &[&x, &t]);
    let want = reference::run(&loss, &call).unwrap().loss;
    let rounded: Vec<half::bf16> = want.iter().map(|&x| half::bf16::from_f32(x as f32)).collect();
    let singles: Vec<f32> = rounded.iter().map(|x| x.to_f32()).collect();
    assert_close(&loss, &call, Mine::new().loss(&rounded));
    assert!(!compare(&loss, &call, &singles).unwrap().is_close());
    let mut next = rounded;
    next[9] = half::bf16::from_bits(next[9].to_bits() + 2);
    let found = compare(&loss, &call, Mine::new().loss(&next)).unwrap();
    let worst = &found.results[0].worst[0];
    assert!(
        found.results[0].off == 1 && worst.index == [9] && (1.4..2.6).contains(&worst.ulps),
        "{found}"
    );
}

/// The gradient of an operand that broadcasts is a sum, and as exact as its terms are large.
#[test]
fn sums_are_judged_by_the_size_of_their_terms() {
    let (rows, cols) = (2000, 3);
    let (x, t) = (numbers(1, rows * cols), numbers(2, cols));
    let (xs, ts) = (tensor(&x, &[rows, cols]), tensor(&t, &[cols]));
    let loss = Mse {
        reduction: Reduction::Sum,
    };
    let call = Call {
        grads: vec![Role::Target],
        ..Call::new(Mode::Fused, &[&xs, &ts])
    };
    assert!(close(&loss, &call, &values(gpu(), &loss, &call)));
    let right = values(&Engine::cpu(), &loss, &call);
    // The mean of the columns as targets: then the sum is near 0, and what it is made of is not.
    let mean: Vec<f32> = (0..cols)
        .map(|c| x.iter().skip(c).step_by(cols).sum::<f32>() / rows as f32)
        .collect();
    let mean = tensor(&mean, &[cols]);
    let cancelling = Call {
        tensors: vec![&xs, &mean],
        ..call.clone()
    };
    assert!(close(&loss, &cancelling, &values(gpu(), &loss, &cancelling)));
    let mut wrong = right;
    wrong.grads[0].1.data[1] *= 1.0001;
    assert!(!close(&loss, &call, &wrong));
    // A sum of both signs, against one without the last term.
    let data: Vec<f32> = (0..10_000).map(|i| if i % 2 == 0 { 1.1 } else { -1.1 }).collect();
    let (all, sum) = (tensor(&data, &[10_000]), Reduce::default());
    let call = Call::new(Mode::Forward, &[&all]);
    assert_close(&sum, &call, &[0.001f32]);
    assert!(!compare(&sum, &call, &[1.1f32]).unwrap().is_close());
}

/// What one running sum of many terms loses is more than a sum in any tree does.
#[test]
fn a_running_sum_of_a_million_terms_is_found() {
    let terms = 1 << 20;
    let zero = tensor(&[0.0], &[1]);
    let data = vec![0.1f32; terms];
    let all = tensor(&data, &[terms]);
    let loss = L1 {
        reduction: Reduction::Sum,
    };
    let call = Call::new(Mode::Forward, &[&all, &zero]);
    assert!(close(&loss, &call, &values(gpu(), &loss, &call)));
    assert!(!compare(&loss, &call, &[data.iter().sum::<f32>()]).unwrap().is_close());
}

/// Only what cancels is held to the last digits of its inputs, and the comparison says so.
#[test]
fn an_ill_conditioned_number_is_held_to_its_inputs() {
    // Rows that nearly agree: 1 - cos in f32 from norms and products as they are.
    let a: Vec<f32> = numbers(1, 40);
    let b: Vec<f32> = a
        .iter()
        .enumerate()
        .map(|(i, x)| x * (1.0 + 1e-4 * (i % 3) as f32))
        .collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let loss = wgloss::CosineEmbedding {
        reduction: Reduction::None,
        ..Default::default()
    };
    let (at, bt, t) = (tensor(&a, &[1, 40]), tensor(&b, &[1, 40]), tensor(&[1.0], &[1]));
    let call = Call::new(Mode::Forward, &[&at, &bt, &t]);
    let right = values(gpu(), &loss, &call);
    assert!(close(&loss, &call, &right));
    let naive = [1.0 - dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()];
    let found = compare(&loss, &call, &naive).unwrap();
    assert_eq!(
        (found.results[0].off, found.results[0].ill_conditioned),
        (0, 1),
        "{naive:?} {found}"
    );
    let far = [naive[0] + 1e-5];
    assert!(!compare(&loss, &call, &far).unwrap().is_close());
    // A triplet's distances, which are larger than what is left of them.
    let triplet = TripletMargin {
        reduction: Reduction::None,
        ..Default::default()
    };
    let c = tensor(&numbers(3, 40), &[1, 40]);
    let call = Call::new(Mode::Fused, &[&at, &bt, &c]);
    assert!(close(&triplet, &call, &values(gpu(), &triplet, &call)));
}
