//! Results that are nearly equal, as the crate `approx` says it (feature `approx`).

use approx::{AbsDiffEq, RelativeEq, assert_abs_diff_eq, assert_abs_diff_ne, assert_relative_eq, assert_relative_ne};
use wgloss::{Array, Call, CrossEntropy, Dtype, Engine, Loss, Mode, Role, Stats, Tensor, TripletMargin, Values};

fn array(data: &[f32], shape: &[usize]) -> Array {
    Array {
        shape: shape.to_vec(),
        data: data.to_vec(),
        dtype: Dtype::F32,
    }
}

#[test]
fn arrays_are_near_element_by_element() {
    let a = array(&[1.0, 100.0, 0.0, -3.0], &[2, 2]);
    let b = array(&[1.01, 101.0, 0.0, -3.0], &[2, 2]);
    assert_abs_diff_eq!(a, b, epsilon = 1.5);
    assert_abs_diff_ne!(a, b, epsilon = 0.5);
    assert_relative_eq!(a, b, max_relative = 0.011);
    assert_relative_ne!(a, b, max_relative = 0.009);
    assert!(a.abs_diff_eq(&a, f32::default_epsilon()) && !a.relative_eq(&b, 0.0, 0.0));
    // Shapes count, and NaN is near nothing.
    assert_abs_diff_ne!(a, array(&a.data, &[4]), epsilon = 1e9);
    assert_abs_diff_ne!(a, array(&a.data[..2], &[2]), epsilon = 1e9);
    let nan = array(&[f32::NAN], &[1]);
    assert_abs_diff_ne!(nan, nan, epsilon = 1e9);
    assert_relative_ne!(nan, nan);
    let infinite = array(&[f32::INFINITY], &[1]);
    assert_relative_eq!(infinite, infinite.clone());
    assert_relative_ne!(infinite, array(&[f32::MAX], &[1]));
    assert_eq!(
        (Array::<f32>::default_epsilon(), Array::<f32>::default_max_relative()),
        (f32::EPSILON, f32::EPSILON)
    );
    // Whole numbers, too.
    let whole = |data: &[i64]| Array {
        shape: vec![2],
        data: data.to_vec(),
        dtype: Dtype::I64,
    };
    assert_abs_diff_eq!(whole(&[1, 5]), whole(&[2, 5]), epsilon = 1);
    assert_abs_diff_ne!(whole(&[1, 5]), whole(&[3, 5]), epsilon = 1);
}

fn triplets() -> Values {
    let rows = |shift: usize| -> Vec<f32> { (0..12).map(|i| ((i * 7 + shift) % 5) as f32 * 0.3).collect() };
    let [a, b, c] = [1, 2, 3].map(|shift| Tensor::new(&rows(shift), &[3, 4]).unwrap());
    let call = Call {
        grads: vec![Role::Positive, Role::Negative],
        ..Call::new(Mode::Fused, &[&a, &b, &c])
    };
    let engine = Engine::cpu();
    TripletMargin::default()
        .run(&engine, &call)
        .unwrap()
        .read(&engine)
        .unwrap()
}

fn classes() -> Values {
    let x = Tensor::new(&[0.3f32, 1.0, -0.2, 0.9, 0.1, 0.0], &[2, 3]).unwrap();
    let t = Tensor::new(&[1i64, 2], &[2]).unwrap();
    let stats = Stats {
        lse: true,
        argmax: true,
        entropy: true,
        accuracy: true,
        z_loss: false,
    };
    let call = Call {
        stats,
        ..Call::new(Mode::Fused, &[&x, &t])
    };
    let engine = Engine::cpu();
    CrossEntropy::default()
        .run(&engine, &call)
        .unwrap()
        .read(&engine)
        .unwrap()
}

/// Each result that is a little off makes the difference, and so does one that is missing.
#[test]
fn values_are_near_result_by_result() {
    type Change = (&'static str, fn(&mut Values));
    let floats: [Change; 6] = [
        ("loss", |own| own.loss.as_mut().unwrap().data[0] += 0.01),
        ("gradient", |own| own.grad_input.as_mut().unwrap().data[1] += 0.01),
        ("lse", |own| own.lse.as_mut().unwrap().data[1] += 0.01),
        ("entropy", |own| own.entropy.as_mut().unwrap().data[0] += 0.01),
        ("weight", |own| own.weight = own.weight.map(|own| own + 0.01)),
        ("exact", |own| own.exact = Some(vec![0.01])),
    ];
    let others: [Change; 5] = [
        ("missing", |own| own.lse = None),
        ("argmax", |own| own.argmax.as_mut().unwrap().data[0] = 0),
        ("correct", |own| own.correct = Some(0)),
        ("terms", |own| own.terms += 1),
        ("ignored", |own| own.ignored += 1),
    ];
    let mut right = classes();
    right.exact = Some(vec![0.0]);
    assert_abs_diff_eq!(right, right.clone());
    assert_relative_eq!(right, right.clone());
    for (name, change) in floats {
        let mut other = right.clone();
        change(&mut other);
        assert!(
            other.abs_diff_eq(&right, 0.02) && other.relative_eq(&right, 0.02, 0.0),
            "{name}"
        );
        assert!(
            !other.abs_diff_eq(&right, 0.005) && !other.relative_eq(&right, 1e-6, 1e-6),
            "{name}"
        );
    }
    for (name, change) in others {
        let mut other = right.clone();
        change(&mut other);
        assert!(
            !other.abs_diff_eq(&right, 1e9) && !other.relative_eq(&right, 1e9, 1e9),
            "{name}"
        );
    }
    // Gradients of the other tensors, by role.
    let right = triplets();
    let mut other = right.clone();
    other.grads[1].1.data[0] += 0.01;
    assert!(other.abs_diff_eq(&right, 0.02) && !other.abs_diff_eq(&right, 0.005));
    other.grads.swap(0, 1);
    assert_abs_diff_ne!(other, right, epsilon = 1e9);
    other.grads.pop();
    assert_abs_diff_ne!(other, right, epsilon = 1e9);
}
