//! Slabs larger than a binding or a dispatch.

use wgloss::plan::{Dispatch, Origin, Step, plan};
use wgloss::{Error, Limits, Mode, Reduction, Role};

use super::{class_problem, sizes};
use crate::common::plans::{DEFAULT_LIMITS, SMALL, TINY, verify};

/// A slab larger than a binding is gathered: every copy within its buffers, every class of every row copied.
#[test]
fn slabs_larger_than_a_binding_are_gathered() {
    let problem = class_problem(&[2, 7, 3000], Reduction::Sum, Mode::Fused, false);
    let plan = plan(&problem, &TINY, &SMALL).unwrap();
    verify(&plan, &TINY, &sizes(&problem), "cross_entropy/");
    let (mut read, mut written) = (0, 0);
    for step in &plan.steps {
        let Step::Copy(copy) = step else { continue };
        for (source, offset) in [(copy.from, copy.from_offset), (copy.to, copy.to_offset)] {
            let size = match source {
                Origin::Scratch(index) => plan.scratch[index],
                Origin::Tensor(_) => problem.input().end(),
            };
            assert!(offset + copy.size <= size && offset.is_multiple_of(4) && copy.size.is_multiple_of(4));
        }
        if copy.from == Origin::Tensor(Role::Input) {
            read += copy.size;
        }
        if copy.to == Origin::Tensor(Role::Grad(0)) {
            written += copy.size;
        }
    }
    assert_eq!((read, written), (problem.input().end(), problem.input().end()));
}

/// What a dispatch touches of a slab are the elements of its rows, not all from the first to the last of them: a slab
/// larger than a dispatch may touch goes in as many pieces as it has budgets, not tile by tile. So does one that lies
/// in two buffers.
#[test]
fn slabs_larger_than_a_dispatch_go_in_large_pieces() {
    let problem = class_problem(&[2, 40, 64, 64], Reduction::Mean, Mode::Fused, false);
    let bytes = problem.input().end();
    for max_buffer_bytes in [DEFAULT_LIMITS.max_buffer_bytes, bytes / 4 * 3] {
        let limits = Limits {
            max_dispatch_bytes: 512 << 10,
            max_buffer_bytes,
            ..DEFAULT_LIMITS
        };
        let plan = plan(&problem, &limits, &SMALL).unwrap();
        verify(&plan, &limits, &sizes(&problem), "cross_entropy/");
        let losses: Vec<_> = plan
            .dispatches()
            .filter(|own| own.variant.label.starts_with("cross_entropy/"))
            .collect();
        let touched = |own: &Dispatch| own.bindings.iter().map(|binding| binding.touched).sum::<u64>();
        // Input and gradient, labels of eight bytes; a slab in two buffers is brought together besides.
        let all = 2 * bytes + bytes / 40 * 2;
        if max_buffer_bytes > bytes {
            let sum: u64 = losses.iter().map(|own| touched(own)).sum();
            assert!((all..all + all / 100).contains(&sum), "{sum} bytes of {all}");
            assert!(losses.iter().all(|own| touched(own) <= limits.max_dispatch_bytes));
        }
        // A piece of each slab may be small.
        assert!(
            losses.len() as u64 <= all / limits.max_dispatch_bytes + 3,
            "{} dispatches",
            losses.len()
        );
    }
}

#[test]
fn what_no_splitting_helps_is_an_error() {
    let problem = class_problem(&[2, 8192], Reduction::Mean, Mode::Forward, false);
    let error = plan(&problem, &TINY, &SMALL).unwrap_err();
    assert!(
        matches!(&error, Error::Limit(message) if message.contains("8192") && message.contains("24576") && message.contains("131072")),
        "{error}"
    );
}
