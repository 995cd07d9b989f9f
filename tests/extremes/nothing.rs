//! Dimensions of size 0.

use wgloss::{Call, Engine, Error, Info, Mode, OperandKind, REGISTRY, Reduction};

use super::{run, tensor};
use crate::common::cases::{Setup, Style, make};
use crate::common::engine;

/// The loss of a row of no columns.
fn of_no_columns(info: &Info) -> f32 {
    match info.name {
        "multilabel_soft_margin" => f32::NAN, // a mean over the columns
        "cosine_embedding" => 1.0,            // zero rows have cosine 0
        "triplet_margin" => 1.0,              // the margin
        name => panic!("{name} takes rows of no columns: what is their loss?"),
    }
}

/// A row of no classes has no label.
fn has_labels(info: &Info) -> bool {
    info.takes(OperandKind::Index) || info.takes(OperandKind::IndexOrDistribution)
}

/// As in PyTorch: the mean of nothing is NaN, its sum 0, and each loss by itself is none.
#[test]
fn dimensions_of_size_0() {
    // An engine of its own, whose pipelines go with it.
    let (own, cpu) = (engine::fresh(), Engine::cpu());
    let engines = || [&own, &cpu];
    let mut seen = 0;
    for info in REGISTRY.iter().filter(|info| info.name != "reduce") {
        for shape in [
            vec![0],
            vec![0, 3],
            vec![3, 0],
            vec![0, 0],
            vec![2, 0, 3],
            vec![2, 3, 0],
            vec![0, 2, 3],
        ] {
            for &reduction in info.reductions {
                for full in [false, true] {
                    let setup = Setup {
                        reduction,
                        full,
                        style: Style::Zeros,
                        ..Setup::new(&shape)
                    };
                    let Some(mut case) = make(info, &setup) else { continue };
                    if info.name == "cosine_embedding" {
                        case.tensors[2] = tensor(
                            &vec![1.0; case.tensors[2].shape().iter().product()],
                            case.tensors[2].shape(),
                        );
                    }
                    let problem = case.loss.problem(&case.call(Mode::Forward)).unwrap();
                    let terms = problem.term_count() as usize;
                    if terms > 0 && has_labels(info) {
                        for engine in engines() {
                            let read = case.loss.run(engine, &case.call(Mode::Forward)).unwrap().read(engine);
                            assert!(matches!(read, Err(Error::BadLabels { .. })), "{}: {read:?}", case.what);
                        }
                        continue;
                    }
                    let each = if terms > 0 { of_no_columns(info) } else { 0.0 };
                    let want = match reduction {
                        Reduction::None => vec![each; terms],
                        Reduction::Sum => vec![each * terms as f32],
                        Reduction::Mean if terms == 0 => vec![f32::NAN],
                        Reduction::BatchMean if shape[0] == 0 => vec![f32::NAN],
                        Reduction::Mean | Reduction::BatchMean => vec![each],
                    };
                    for (engine, mode) in engines()
                        .into_iter()
                        .flat_map(|engine| [Mode::Forward, case.most()].map(|mode| (engine, mode)))
                    {
                        let got = run(
                            engine,
                            case.loss.as_ref(),
                            &Call {
                                grad_output: None,
                                ..case.call(mode)
                            },
                        );
                        let loss = got.loss.as_ref().unwrap();
                        let same = |(a, b): (&f32, &f32)| a == b || a.is_nan() && b.is_nan();
                        let fits = loss.data.len() == want.len() && loss.data.iter().zip(&want).all(same);
                        assert!(
                            fits,
                            "{} {}: {:?}, expected {want:?}, {}",
                            case.what,
                            mode.name(),
                            loss.data,
                            engine.name()
                        );
                        let grads = got.grad_input.iter().chain(got.grads.iter().map(|(_, grad)| grad));
                        // A layer's matrix is there, whatever it is applied to.
                        grads.for_each(|grad| assert!(grad.data.iter().all(|&g| g == 0.0), "{}", case.what));
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 500, "{seen}");
}
