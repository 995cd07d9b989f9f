//! Calls on the GPU against the f64 reference.

use wgloss::reference::Results;
use wgloss::{Call, Engine, Loss, Role, Values, reference};

use crate::common::{F32, gpu, hardware};

/// A call on host tensors, on the GPU and in f64: cut as for this adapter, and as for a hardware one.
pub fn against_reference(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    let want = match reference::run(loss, call) {
        Ok(want) => want,
        Err(error) => return vec![format!("{what}: {error}")],
    };
    let mut failures = on_engine(what, gpu(), loss, call, &want);
    failures.extend(on_engine(
        &format!("{what}, hardware tuning"),
        hardware(),
        loss,
        call,
        &want,
    ));
    failures
}

/// The same on this adapter's own tuning alone.
pub fn on_gpu(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    match reference::run(loss, call) {
        Ok(want) => on_engine(what, gpu(), loss, call, &want),
        Err(error) => vec![format!("{what}: {error}")],
    }
}

fn on_engine(what: &str, engine: &Engine, loss: &dyn Loss, call: &Call<'_>, want: &Results) -> Vec<String> {
    match loss.run(engine, call).and_then(|output| output.read(engine)) {
        Ok(values) => compare(what, loss, call, &values, want),
        Err(error) => vec![format!("{what}: {error}")],
    }
}

/// All outputs, each judged in its own dtype.
pub fn compare(what: &str, loss: &dyn Loss, call: &Call<'_>, got: &Values, want: &Results) -> Vec<String> {
    let mut checks = Vec::new();
    let whole = |wanted: &[f64], array: &Option<wgloss::Array<i64>>| {
        let same = array
            .as_ref()
            .is_some_and(|a| a.data.iter().map(|&i| i as f64).eq(wanted.iter().copied()));
        if same {
            Ok(())
        } else {
            Err(format!("{what} argmax: {array:?} instead of {wanted:?}"))
        }
    };
    if call.mode.wants_loss() {
        let is_index = got.loss.is_none() && got.argmax.is_some();
        checks.push(match is_index {
            true => whole(&want.loss, &got.argmax),
            false => F32.compare(&format!("{what} loss"), &got.loss, &want.loss),
        });
    }
    if call.mode.wants_grad() {
        let gradient = |place: usize| want.grad(Role::Grad(place as u8)).unwrap_or_default();
        checks.push(F32.compare(&format!("{what} grad"), &got.grad_input, gradient(0)));
        for (place, own) in loss.info().operands.iter().enumerate().skip(1) {
            if call.grads.contains(&own.role) {
                let array = got.grad(own.role).cloned();
                let shape = array.as_ref().map(|a| a.shape.clone()).unwrap_or_default();
                assert_eq!(shape, call.tensors[place].shape(), "{what}");
                checks.push(F32.compare(&format!("{what} grad of {}", own.role.name()), &array, gradient(place)));
            }
        }
    }
    for (name, array, wanted, asked) in [
        ("z_loss", &got.z_loss, &want.z_loss, !want.z_loss.is_empty()),
        ("lse", &got.lse, &want.lse, call.stats.lse),
        ("entropy", &got.entropy, &want.entropy, call.stats.entropy),
    ] {
        if asked {
            checks.push(F32.compare(&format!("{what} {name}"), array, wanted));
        } else if array.is_some() {
            checks.push(Err(format!("{what}: {name} that nobody asked for")));
        }
    }
    if call.stats.argmax {
        let wanted: Vec<f64> = want.argmax.iter().map(|&i| f64::from(i)).collect();
        checks.push(whole(&wanted, &got.argmax));
    }
    if call.stats.accuracy && got.correct != Some(u64::from(want.correct)) {
        checks.push(Err(format!(
            "{what}: {:?} correct, expected {}",
            got.correct, want.correct
        )));
    }
    checks.into_iter().filter_map(Result::err).collect()
}
