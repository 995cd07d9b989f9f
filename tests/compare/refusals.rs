//! What is missing, misshapen or cannot be compared is an error, and no pass.

use wgloss::reference::{Mine, Trouble, assert_close, compare};
use wgloss::{Call, Engine, GradTo, Loss, Mode, Mse, Reduction, Role};

use super::{numbers, panic_of, tensor, values};
use crate::common::gpu;

#[test]
fn what_is_missing_or_misshapen_is_named() {
    let (x, t) = (tensor(&numbers(1, 12), &[3, 4]), tensor(&numbers(2, 12), &[3, 4]));
    let loss = Mse {
        reduction: Reduction::None,
    };
    let call = Call {
        grads: vec![Role::Target],
        ..Call::new(Mode::Fused, &[&x, &t])
    };
    let right = values(&Engine::cpu(), &loss, &call);
    let trouble = |mine: Mine<'_>| -> Vec<(String, Trouble)> {
        let found = compare(&loss, &call, mine).unwrap();
        assert!(!found.is_close(), "{found}");
        let named = found.results.into_iter();
        named
            .filter_map(|own| own.trouble.map(|trouble| (own.name, trouble)))
            .collect()
    };
    let grad = right.grad_input.clone().unwrap().data;
    let loss_data = right.loss.clone().unwrap().data;
    let named = |list: &[(&str, Trouble)]| -> Vec<(String, Trouble)> {
        list.iter()
            .map(|(name, trouble)| ((*name).into(), trouble.clone()))
            .collect()
    };
    let mine = Mine::new().loss(&loss_data).grad_input(&grad);
    assert_eq!(
        trouble(mine.clone()),
        named(&[("gradient of target", Trouble::Missing)])
    );
    assert_eq!(
        trouble(mine.clone().grad(Role::Target, &grad[1..])),
        named(&[("gradient of target", Trouble::Length { got: 11 })])
    );
    let all = mine.grad(Role::Target, &right.grads[0].1.data);
    assert_eq!(trouble(all.clone().lse(&grad)), named(&[("lse", Trouble::NotAsked)]));
    // The first tensor's gradient by its name is the same.
    let by_name = Mine::new()
        .loss(&loss_data)
        .grad(Role::Input, &grad)
        .grad(Role::Target, &right.grads[0].1.data);
    assert_close(&loss, &call, by_name);
    let mut transposed = right.clone();
    transposed.grad_input.as_mut().unwrap().shape = vec![4, 3];
    let shape = Trouble::Shape { got: vec![4, 3] };
    assert_eq!(trouble((&transposed).into()), named(&[("gradient of input", shape)]));
    assert_eq!(trouble(Mine::new()).len(), 3);
}

/// A comparison that could not be made is an error, not a pass.
#[test]
fn what_cannot_be_compared_is_an_error() {
    let (x, t) = (tensor(&numbers(1, 12), &[3, 4]), tensor(&numbers(2, 12), &[3, 4]));
    let loss = Mse::default();
    let one = [0f32];
    let message = |call: &Call<'_>| compare(&loss, call, &one).unwrap_err().to_string();
    let there = gpu().upload(&t).unwrap();
    let text = message(&Call::new(Mode::Forward, &[&x, &there]));
    assert!(
        text.starts_with("target: is on a device, the reference reads the host's"),
        "{text}"
    );
    let place = tensor(&[0.0; 12], &[3, 4]);
    let added = Call {
        grad_input: GradTo::AddTo(&place),
        ..Call::new(Mode::Fused, &[&x, &t])
    };
    assert!(
        message(&added).starts_with("grad_input: is added to what is there"),
        "{}",
        message(&added)
    );
    let odd = tensor(&[0.0; 5], &[5]);
    let odd = Call::new(Mode::Forward, &[&x, &odd]);
    let refused = loss.problem(&odd).unwrap_err().to_string();
    assert_eq!(message(&odd), refused);
    assert_eq!(
        panic_of(|| assert_close(&loss, &odd, &one)),
        format!("mse: nothing to compare with: {refused}")
    );
}
