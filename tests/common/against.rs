//! Calls on the GPU against the f64 reference.

use wgloss::reference::Results;
use wgloss::{Call, Engine, Loss, Tuning, Values, reference};

use crate::common::{F32, engine, takes};

/// A call on host tensors, on the GPU and in f64: cut as for this adapter, and as for a hardware one. In the quick
/// form, one call in three by its name goes the second way.
pub fn against_reference(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    against_reference_of(what, loss, call, None)
}

/// The same of a result that has to have a shape.
pub fn against_reference_of(what: &str, loss: &dyn Loss, call: &Call<'_>, shape: Option<&[usize]>) -> Vec<String> {
    let want = match reference::run(loss, call) {
        Ok(want) => want,
        Err(error) => return vec![format!("{what}: {error}")],
    };
    let mut failures = on_engine(what, &engine::passing(), loss, call, &want, shape);
    if takes(what.bytes().map(usize::from).sum(), 3) {
        let what = format!("{what}, hardware tuning");
        failures.extend(on_engine(
            &what,
            &engine::passing_tuned(Tuning::HARDWARE),
            loss,
            call,
            &want,
            shape,
        ));
    }
    failures
}

/// The same on this adapter's own tuning alone.
pub fn on_gpu(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    match reference::run(loss, call) {
        Ok(want) => on_engine(what, &engine::passing(), loss, call, &want, None),
        Err(error) => vec![format!("{what}: {error}")],
    }
}

/// The same cut as for a hardware one.
pub fn on_hardware(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    match reference::run(loss, call) {
        Ok(want) => on_engine(what, &engine::passing_tuned(Tuning::HARDWARE), loss, call, &want, None),
        Err(error) => vec![format!("{what}: {error}")],
    }
}

fn on_engine(
    what: &str,
    engine: &Engine,
    loss: &dyn Loss,
    call: &Call<'_>,
    want: &Results,
    shape: Option<&[usize]>,
) -> Vec<String> {
    let values = match loss
        .run(engine, call)
        .and_then(|output| output.include_placed().read(engine))
    {
        Ok(values) => values,
        Err(error) => return vec![format!("{what}: {error}")],
    };
    let mut failures = compare(what, loss, call, &values, want);
    let of_argmax = values.argmax.as_ref().map(|own| &own.shape);
    let made = values.loss.as_ref().map(|own| &own.shape).or(of_argmax);
    if let Some(shape) = shape.filter(|&shape| call.mode.wants_loss() && made.is_none_or(|made| made != shape)) {
        failures.push(format!("{what}: {made:?} instead of {shape:?}"));
    }
    failures
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
        let gradient = want.grad_input.as_deref().unwrap_or_default();
        checks.push(F32.compare(&format!("{what} grad"), &got.grad_input, gradient));
        for (place, own) in loss.info().operands.iter().enumerate().skip(1) {
            if call.grads.contains(&own.role) {
                let array = got.grad(own.role).cloned();
                let shape = array.as_ref().map(|a| a.shape.clone()).unwrap_or_default();
                assert_eq!(shape, call.tensors[place].shape(), "{what}");
                let gradient = want.grad(own.role).unwrap_or_default();
                checks.push(F32.compare(&format!("{what} grad of {}", own.role.name()), &array, gradient));
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
