//! Results of a user's own beside the f64 reference: what is right is close, and nothing that is wrong is.

mod refusals;
mod sizes;

use wgloss::reference::{self, Comparison, Mine, assert_close, compare};
use wgloss::{
    Array, Call, CrossEntropy, Engine, HingeEmbedding, L1, Loss, MarginRanking, Mode, REGISTRY, Reduce, ReduceOp,
    Reduction, Role, SmoothL1, Stats, Tensor, TripletMargin, Values,
};

use crate::common::cases::{Setup, Style, make};
use crate::common::data::{Data, Wild};
use crate::common::gpu;

#[path = "../../examples/own_kernel.rs"]
#[allow(dead_code, reason = "its main is for who runs the example")]
mod own_kernel;

fn tensor(data: &[f32], shape: &[usize]) -> Tensor {
    Tensor::new(data, shape).unwrap()
}

fn values(engine: &Engine, loss: &dyn Loss, call: &Call<'_>) -> Values {
    loss.run(engine, call).unwrap().read(engine).unwrap()
}

fn close(loss: &dyn Loss, call: &Call<'_>, mine: &Values) -> bool {
    compare(loss, call, mine).unwrap().is_close()
}

/// What a panic says.
fn panic_of(work: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

/// Changes a number of a result, by the name that a comparison has for it.
fn number_of<'a>(values: &'a mut Values, name: &str, index: usize) -> Option<&'a mut f32> {
    let array = match name {
        "loss" => values.loss.as_mut(),
        "z_loss" => values.z_loss.as_mut(),
        "lse" => values.lse.as_mut(),
        "entropy" => values.entropy.as_mut(),
        _ => {
            let named = |role: Role| name == format!("gradient of {}", role.name());
            let other = values
                .grads
                .iter_mut()
                .find(|(role, _)| named(*role))
                .map(|(_, grad)| grad);
            other.or(values.grad_input.as_mut())
        }
    };
    array.and_then(|array| array.data.get_mut(index))
}

fn flat(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (at, size)| flat * size + at)
}

/// Of every loss: what the processor rounds is close, and every result with one number that is off by twice what it is
/// allowed is not, while half of it is.
#[test]
fn of_every_loss_twice_the_error_allowed_is_found() {
    let engine = Engine::cpu();
    let mut seen = 0;
    for info in REGISTRY {
        for (reduction, style) in [
            (Reduction::None, Style::Hard),
            (Reduction::Mean, Style::Hard),
            (Reduction::None, Style::Wild(Wild::ALL[0])),
        ] {
            let setup = Setup {
                reduction,
                style,
                given: true,
                ..Setup::new(&[12, 7])
            };
            let Some(mut case) = make(info, &setup) else { continue };
            case.stats = Stats {
                lse: info.statistics,
                argmax: info.statistics,
                entropy: info.statistics,
                accuracy: info.statistics,
                ..Stats::default()
            };
            let (loss, call) = (case.loss.as_ref(), case.call(case.most()));
            let right = values(&engine, loss, &call);
            let comparison = compare(loss, &call, &right).unwrap();
            assert!(comparison.is_close(), "{}\n{comparison}", case.what);
            for result in comparison.results.iter().filter(|own| own.dtype.is_float()) {
                for index in (0..result.count()).step_by(5) {
                    // What it is allowed, as the one that is furthest off.
                    let mut wrong = right.clone();
                    let number = number_of(&mut wrong, &result.name, index).unwrap();
                    if !number.is_finite() {
                        continue;
                    }
                    *number = f32::NAN;
                    let found = compare(loss, &call, &wrong).unwrap();
                    let own = found.results.iter().find(|own| own.name == result.name).unwrap();
                    let (off, worst) = (own.off, &own.worst[0]);
                    assert_eq!(
                        (off, flat(&worst.index, &own.shape)),
                        (1, index),
                        "{}\n{found}",
                        case.what
                    );
                    for (times, fits) in [(2.0, false), (-2.0, false), (0.5, true)] {
                        let moved = worst.reference + times * worst.allowed;
                        *number_of(&mut wrong, &result.name, index).unwrap() = moved as f32;
                        let what = format!("{} {} {times}", case.what, result.name);
                        let found = compare(loss, &call, &wrong).unwrap();
                        // Where the error that is allowed differs from side to side, one is the smaller.
                        assert!(found.is_close() == fits || times < 0.0, "{what}\n{found}");
                        assert!(
                            !found.is_close() || times.abs() < 1.0 || worst.allowed == 0.0,
                            "{what}\n{found}"
                        );
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 3000, "{seen}");
}

fn smooth_l1(x: &[f32], t: &[f32], beta: f32) -> (Vec<f32>, Vec<f32>) {
    let of = |(x, t): (&f32, &f32)| {
        let d = x - t;
        match d.abs() < beta {
            true => (0.5 * d * d / beta, d / beta),
            false => (d.abs() - 0.5 * beta, d.signum()),
        }
    };
    x.iter().zip(t).map(of).unzip()
}

fn numbers(seed: u64, n: usize) -> Vec<f32> {
    Data::new(seed).uniform(n, -2.0, 2.0)
}

#[test]
fn a_beta_one_percent_off_is_found() {
    let (x, t) = (numbers(1, 600), numbers(2, 600));
    let (xs, ts) = (tensor(&x, &[20, 30]), tensor(&t, &[20, 30]));
    for beta in [1.0, 0.3] {
        let loss = SmoothL1 {
            beta,
            reduction: Reduction::None,
        };
        let call = Call::new(Mode::Fused, &[&xs, &ts]);
        let (losses, grad) = smooth_l1(&x, &t, beta as f32);
        assert_close(&loss, &call, (&losses, &grad));
        for percent in [0.99, 1.01] {
            let (losses, grad) = smooth_l1(&x, &t, beta as f32 * percent);
            let found = compare(&loss, &call, (&losses, &grad)).unwrap();
            assert!(found.results.iter().all(|own| own.off > 50), "{beta} {percent} {found}");
        }
        // Where the numbers are large beside their differences, too.
        let far = |own: &[f32]| {
            own.iter()
                .map(|x| (x * 64.0).round() / 64.0 + 30_000.0)
                .collect::<Vec<f32>>()
        };
        let (x, t) = (far(&x), far(&t));
        let (far_x, far_t) = (tensor(&x, &[20, 30]), tensor(&t, &[20, 30]));
        let far = Call::new(Mode::Fused, &[&far_x, &far_t]);
        let (near, slopes) = smooth_l1(&x, &t, beta as f32);
        assert_close(&loss, &far, (&near, &slopes));
        let (near, slopes) = smooth_l1(&x, &t, beta as f32 * 1.01);
        let found = compare(&loss, &far, (&near, &slopes)).unwrap();
        assert!(found.results.iter().all(|own| own.off > 50), "{beta} {found}");
        // The mean of them, which one running sum finds as well.
        let mean = SmoothL1 {
            beta,
            reduction: Reduction::Mean,
        };
        let of = |losses: &[f32]| [losses.iter().sum::<f32>() / 600.0];
        let call = Call::new(Mode::Forward, &[&xs, &ts]);
        assert_close(&mean, &call, &of(&losses));
        let (losses, _) = smooth_l1(&x, &t, beta as f32 * 1.01);
        assert!(!compare(&mean, &call, &of(&losses)).unwrap().is_close());
    }
}

/// The kernel of the example passes, and fails with a beta that is off.
#[test]
fn the_kernel_of_the_example_is_tested() {
    let of = |beta, asserts| own_kernel::test_kernel(gpu(), beta, asserts).unwrap().unwrap();
    let right = of(0.7, true);
    assert!(right.is_close() && right.results.len() == 2, "{right}");
    let wrong = of(0.707, false);
    assert!(wrong.results.iter().all(|own| own.off > 100), "{wrong}");
    assert_eq!(panic_of(|| drop(of(0.707, true))), wrong.to_string());
}

/// At ties and kinks there is one right gradient, wherever they lie; next to them its sign is what it is.
#[test]
fn a_gradient_flipped_at_a_kink_is_found() {
    let none = Reduction::None;
    // Ties at numbers that nobody chose, and beside them.
    let x = [0.37f32, 1.3, -0.1, 0.5, 2.0, 1e-9, 0.37, 0.37];
    let t = [0.37f32, 1.3, -0.1, 0.5, 2.0, 0.0, 0.38, 0.36];
    let grad = [0.0f32, 0.0, 0.0, 0.0, 0.0, 1.0, -1.0, 1.0];
    let (xs, ts) = (tensor(&x, &[8]), tensor(&t, &[8]));
    let l1 = L1 { reduction: none };
    let call = Call::new(Mode::Backward, &[&xs, &ts]);
    assert_close(&l1, &call, Mine::new().grad_input(&grad));
    let hinge = HingeEmbedding {
        reduction: none,
        ..Default::default()
    };
    // max(0, 1 - x) of targets of -1 has its kink at 1, and is 0 from there on.
    let (ends, signs) = (tensor(&[1.0, 0.999, 1.001], &[3]), tensor(&[-1.0; 3], &[3]));
    let kink = Call::new(Mode::Backward, &[&ends, &signs]);
    let slopes = [0.0f32, -1.0, 0.0];
    // Ties among a row's columns share the gradient, and two equal scores have none; equal ones stay so.
    let max = Reduce {
        op: ReduceOp::Max,
        ..Default::default()
    };
    let row = tensor(&[0.1, 0.37, 0.2, 0.37], &[4]);
    let of_row = Call::new(Mode::Backward, &[&row]);
    let ranking = MarginRanking {
        reduction: none,
        ..Default::default()
    };
    let (scores, order) = (tensor(&[0.37, 0.1, 0.37], &[3]), tensor(&[1.0; 3], &[3]));
    let equal = tensor(&[0.37, 0.1, 0.4], &[3]);
    let ranks = Call::new(Mode::Backward, &[&scores, &equal, &order]);
    let of_ranks = reference::run(&ranking, &ranks).unwrap().grad_input.unwrap();
    let of_ranks: Vec<f32> = of_ranks.iter().map(|&g| g as f32).collect();
    let cases: [(&dyn Loss, &Call<'_>, &[f32]); 4] = [
        (&l1, &call, &grad),
        (&hinge, &kink, &slopes),
        (&max, &of_row, &[0.0, 0.5, 0.0, 0.5]),
        (&ranking, &ranks, &of_ranks),
    ];
    for (loss, call, right) in cases {
        let what = loss.info().name;
        let found = compare(loss, call, Mine::new().grad_input(right)).unwrap();
        assert!(found.is_close(), "{what} {found}");
        for index in 0..right.len() {
            for other in [-1.0, 0.0, 1.0, 2.0].into_iter().filter(|other| *other != right[index]) {
                let mut wrong = right.to_vec();
                wrong[index] = other;
                let found = compare(loss, call, Mine::new().grad_input(&wrong)).unwrap();
                assert_eq!(found.results[0].off, 1, "{what} [{index}] = {other} {found}");
            }
        }
    }
}

/// Labels, statistics, counts and places, by the names of a user's own arrays.
#[test]
fn statistics_places_and_counts_are_compared() {
    let (x, labels) = (numbers(1, 50), [1i64, 4, -100, 0, 2, 2, 3, 1, 0, 4]);
    let (xs, ts) = (tensor(&x, &[10, 5]), Tensor::new(&labels, &[10]).unwrap());
    let loss = CrossEntropy::default();
    let call = Call {
        stats: Stats {
            lse: true,
            argmax: true,
            accuracy: true,
            ..Stats::default()
        },
        ..Call::new(Mode::Fused, &[&xs, &ts])
    };
    let got = values(gpu(), &loss, &call);
    let data = |array: &Option<Array>| array.clone().unwrap().data;
    let (own, grad, lse) = (data(&got.loss), data(&got.grad_input), data(&got.lse));
    let places = got.argmax.clone().unwrap().data;
    let mine = Mine::new()
        .loss(&own)
        .grad_input(&grad)
        .lse(&lse)
        .argmax(&places)
        .correct(got.correct.unwrap());
    assert_close(&loss, &call, &mine);
    let off = |mine: Mine<'_>| -> Vec<String> {
        let found = compare(&loss, &call, mine).unwrap().results.into_iter();
        found.filter(|own| !own.is_close()).map(|own| own.name).collect()
    };
    let mut wrong = places;
    wrong[3] = (wrong[3] + 1) % 5;
    assert_eq!(off(mine.clone().argmax(&wrong)), ["argmax"]);
    assert_eq!(off(mine.clone().correct(got.correct.unwrap() + 1)), ["correct"]);
    let mut wrong = lse.clone();
    wrong[0] += 1e-4;
    assert_eq!(off(mine.lse(&wrong)), ["lse"]);
}

/// What the text of a comparison says.
#[test]
fn a_comparison_tells_index_values_and_ulps() {
    let x = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    let t = tensor(&[0.0; 6], &[2, 3]);
    let loss = L1 {
        reduction: Reduction::None,
    };
    let call = Call::new(Mode::Fused, &[&x, &t]);
    let off = [1.0, 2.0, 3.0, 4.0, 5.001, f32::NAN];
    let found = compare(&loss, &call, (&off, &[1.0f32; 6])).unwrap();
    let text = "\
l1 (fused, reduction none): not close to the f64 reference
  loss [2, 3] f32: 2 of 6 elements are off:
     index      mine    reference difference   ulps allowed
    [1, 2]       NaN 6.000000000e0        NaN    NaN 1.34e-5
    [1, 1]   5.001e0 5.000000000e0   +1.00e-3 2097.0 1.14e-5
  gradient of input [2, 3] f32: close; the largest error is 0.00 of the one allowed";
    let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    assert_eq!(words(&found.to_string()), words(text), "{found}");
    let caught = |found: Comparison| found.results.iter().map(|own| own.worst.len()).collect::<Vec<_>>();
    assert_eq!(caught(found), [6, 6]);
    let panic = panic_of(|| assert_close(&loss, &call, (&off, &[1.0f32; 6])));
    assert_eq!(words(&panic), words(text));
}

/// `Results`, `Values` and `Output` have gradients under the same names.
#[test]
fn gradients_have_the_same_names_everywhere() {
    let rows = |seed| tensor(&numbers(seed, 12), &[3, 4]);
    let (a, b, c) = (rows(1), rows(2), rows(3));
    let call = Call {
        grads: vec![Role::Negative, Role::Positive],
        ..Call::new(Mode::Backward, &[&a, &b, &c])
    };
    let loss = TripletMargin::default();
    let engine = Engine::cpu();
    let output = loss.run(&engine, &call).unwrap();
    let values = output.read(&engine).unwrap();
    let results = reference::run(&loss, &call).unwrap();
    let near = |array: &Array, want: &[f64]| array.data.iter().copied().eq(want.iter().map(|&x| x as f32));
    assert!(near(
        values.grad_input.as_ref().unwrap(),
        results.grad_input.as_deref().unwrap()
    ));
    for role in [Role::Positive, Role::Negative] {
        let tensor = output.grad(role).unwrap();
        assert_eq!(tensor.as_slice::<f32>().unwrap(), values.grad(role).unwrap().data);
        assert!(
            near(values.grad(role).unwrap(), results.grad(role).unwrap()),
            "{role:?}"
        );
    }
    let roles = |mut own: Vec<Role>| {
        own.sort();
        own
    };
    let of_results = roles(results.grads.iter().map(|(role, _)| *role).collect());
    assert_eq!(of_results, roles(values.grads.iter().map(|(role, _)| *role).collect()));
    assert_eq!(of_results, roles(output.grads.iter().map(|(role, _)| *role).collect()));
    assert!(results.grad(Role::Anchor).is_none() && values.grad(Role::Anchor).is_none());
}
