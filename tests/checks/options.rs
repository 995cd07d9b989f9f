//! Options that are no finite numbers.

use wgloss::optim::{OPTIMIZERS, Setting};
use wgloss::{Error, REGISTRY, Scalar, ScalarKind};

/// Every option that is a number has to be finite, but for the norm of triplet_margin, which may be the largest.
#[test]
fn options_that_are_not_finite_are_refused() {
    let mut refused = 0;
    for info in REGISTRY {
        for option in info.options.iter().filter(|own| own.kind == ScalarKind::Float) {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut loss = (info.new)();
                loss.set(option.name, &Scalar::Float(value)).unwrap();
                let what = format!("{} {} {value}", info.name, option.name);
                if (info.name, option.name, value) == ("triplet_margin", "p", f64::INFINITY) {
                    loss.check().unwrap();
                    continue;
                }
                let error = loss.check().unwrap_err();
                assert!(
                    matches!(error, Error::Option { name, .. } if name == option.name),
                    "{what}: {error}"
                );
                refused += 1;
            }
        }
    }
    for info in OPTIMIZERS {
        for option in info.options {
            let settings = |value: f64| match (option.default)() {
                Setting::Float(_) => vec![Setting::Float(value)],
                Setting::Pair(a, b) => vec![Setting::Pair(value, b), Setting::Pair(a, value)],
                Setting::Bool(_) => Vec::new(),
            };
            for setting in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
                .into_iter()
                .flat_map(settings)
            {
                let mut optimizer = (info.new)();
                let done = optimizer.set(option.name, setting).and_then(|()| optimizer.check());
                let error = done.unwrap_err();
                assert!(
                    matches!(error, Error::Option { name, .. } if name == option.name),
                    "{}: {error}",
                    option.name
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 60, "{refused}");
}
