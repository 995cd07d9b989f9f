//! Options and tensors that no step takes.

use wgloss::optim::{self, OPTIMIZERS, Setting, State};
use wgloss::{Adam, Dtype, Engine, Optimizer, Role, Sgd, Tensor};

use crate::common::gpu;

#[test]
fn options_outside_their_domain_are_refused() {
    let refused = |name: &str, option: &str, setting: Setting, wanted: &str| {
        let mut optimizer = (optim::find(name).unwrap().new)();
        optimizer.set(option, setting).unwrap();
        let message = optimizer.check().unwrap_err().to_string();
        assert!(message.starts_with(wanted), "{message}");
    };
    for info in OPTIMIZERS {
        assert!((info.new)().check().is_ok());
        for option in info
            .options
            .iter()
            .filter(|option| matches!((option.default)(), Setting::Float(_)))
        {
            for value in [f64::NAN, f64::INFINITY, -1.0] {
                if option.name != "dampening" || !value.is_finite() {
                    refused(info.name, option.name, Setting::Float(value), option.name);
                }
            }
        }
        let mut optimizer = (info.new)();
        assert!(optimizer.set("lr", Setting::Bool(true)).is_err());
        assert!(optimizer.set("learning_rate", Setting::Float(0.1)).is_err());
    }
    for betas in [(1.0, 0.9), (0.9, -0.1), (0.9, f64::NAN)] {
        refused("adam", "betas", Setting::Pair(betas.0, betas.1), "betas: ");
    }
    refused("sgd", "nesterov", Setting::Bool(true), "nesterov: needs momentum");
}

#[test]
fn wrong_tensors_are_refused() {
    let ones = |shape: &[usize]| Tensor::new(&vec![1.0f32; shape.iter().product()], shape).unwrap();
    let with = |role: Role, tensor: Tensor| {
        let mut state = State::default();
        state.attach(role, tensor);
        state
    };
    let half = ones(&[2, 3]).to_dtype(Dtype::F16).unwrap();
    let amsgrad = Adam {
        amsgrad: true,
        ..Default::default()
    };
    let mut late = State::after(3);
    late.attach(Role::ExpAvg, ones(&[2, 3]));
    late.attach(Role::ExpAvgSq, ones(&[2, 3]));
    let fresh = State::default();
    let cases: [(&dyn Optimizer, Tensor, Tensor, &State, &str); 6] = [
        (
            &Adam::default(),
            ones(&[2, 3]),
            ones(&[3, 2]),
            &fresh,
            "grad: expected shape [2, 3]",
        ),
        (
            &Adam::default(),
            ones(&[2, 3]),
            half.clone(),
            &fresh,
            "grad: expected dtype f32",
        ),
        (
            &Adam::default(),
            Tensor::new(&[1i64], &[1]).unwrap(),
            ones(&[1]),
            &fresh,
            "param: expected dtype",
        ),
        (
            &Adam::default(),
            ones(&[2]),
            ones(&[2]),
            &with(Role::ExpAvg, ones(&[3])),
            "exp_avg: expected shape [2]",
        ),
        (
            &Sgd::default(),
            ones(&[2]),
            ones(&[2]),
            &with(Role::ExpAvg, ones(&[2])),
            "exp_avg: is no state of sgd",
        ),
        (
            &amsgrad,
            ones(&[2, 3]),
            ones(&[2, 3]),
            &late,
            "max_exp_avg_sq: is missing",
        ),
    ];
    for engine in [gpu(), &Engine::cpu()] {
        for (optimizer, param, grad, state, wanted) in &cases {
            let mut state = (*state).clone();
            let before = (state.step(), state.tensors().len());
            let message = optimizer.step(engine, param, grad, &mut state).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{message}");
            assert_eq!((state.step(), state.tensors().len()), before);
        }
    }
    // Without the option, the same state is taken.
    assert!(
        Adam::default()
            .step(gpu(), &ones(&[2, 3]), &ones(&[2, 3]), &mut late)
            .is_ok()
    );

    let shared = gpu().upload(&ones(&[4])).unwrap();
    let error = Sgd::default()
        .step(gpu(), &shared, &shared, &mut State::default())
        .unwrap_err();
    assert!(
        error.to_string().starts_with("grad: lies over elements of param"),
        "{error}"
    );
    let error = Sgd::default()
        .step(&Engine::cpu(), &shared, &ones(&[4]), &mut State::default())
        .unwrap_err();
    assert!(error.to_string().starts_with("param: is on a device"), "{error}");
    let buffer = shared.buffer().unwrap().clone();
    let gaps = Tensor::from_buffer(gpu(), buffer, 0, Dtype::F32, &[2, 1], Some(2)).unwrap();
    let error = Sgd::default()
        .step(gpu(), &gaps, &ones(&[2, 1]), &mut State::default())
        .unwrap_err();
    assert!(
        error.to_string().starts_with("param: has rows 2 elements apart"),
        "{error}"
    );
}
