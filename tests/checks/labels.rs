//! Bad labels, of every loss that takes classes.

use std::collections::BTreeSet;

use wgloss::{Dtype, Error, Mode, OperandKind, REGISTRY};

use super::engines;
use crate::common::cases::{Setup, label_tensor, make};
use crate::common::takes;

/// Every loss with class targets: several bad labels, of which the first row is named, in every place of a batch.
#[test]
fn every_loss_with_class_targets_reports_bad_labels() {
    let mut seen = BTreeSet::new();
    let kinds = [
        OperandKind::Index,
        OperandKind::IndexOrDistribution,
        OperandKind::IndexList,
    ];
    for info in REGISTRY {
        let Some(place) = info.operands.iter().position(|own| kinds.contains(&own.kind)) else {
            continue;
        };
        for (n, shape) in [[300, 7], [300, 100]].into_iter().enumerate() {
            for (r, reduction) in info.reductions.iter().enumerate() {
                let setup = Setup {
                    dtype: Dtype::FLOATS[n],
                    other: Dtype::FLOATS[n],
                    reduction: *reduction,
                    ..Setup::new(&shape)
                };
                let mut case = make(info, &setup).unwrap();
                let (rows, cols) = (shape[0], shape[1]);
                let mut labels = case.tensors[place].as_slice::<i64>().unwrap().to_vec();
                let per_row = labels.len() / rows;
                let bad = [(17, cols as i64), (18, -2), (250, 1 << 40), (299, i64::MIN)];
                for (row, label) in bad {
                    labels[row * per_row] = label;
                }
                case.tensors[place] = label_tensor(&labels, Dtype::I64, case.tensors[place].shape());
                let all = engines().into_iter().enumerate();
                for (_, engine) in all.filter(|(e, _)| takes(n + r + e, 2)) {
                    let read = case.loss.run(engine, &case.call(Mode::Fused)).unwrap().read(engine);
                    let what = format!("{} {}", case.what, engine.name());
                    let Err(Error::BadLabels {
                        count,
                        rows: of,
                        first_row,
                        value,
                        values,
                        ..
                    }) = read
                    else {
                        panic!("{what}: {read:?}");
                    };
                    assert_eq!((count, of, first_row, value), (4, 300, 17, cols as i64), "{what}");
                    let (grad, loss) = (values.grad_input.unwrap().data, values.loss.unwrap().data);
                    assert!(
                        grad.iter().any(|&g| g != 0.0) && grad.iter().all(|g| g.is_finite()),
                        "{what}"
                    );
                    seen.insert(info.name);
                    // An entry of a list that is no class names none; the row is that of the others.
                    if info.takes(OperandKind::IndexList) {
                        continue;
                    }
                    // Of logits, or of the features that a layer makes them of.
                    let cols = grad.len() / 300;
                    for (row, _) in bad {
                        let own = &grad[row * cols..(row + 1) * cols];
                        assert!(loss.len() == 1 || loss[row].is_nan(), "{what}");
                        assert!(own.iter().all(|&g| g == 0.0), "{what}: row {row}");
                    }
                    assert!(loss.len() > 1 || loss[0].is_nan(), "{what}");
                }
            }
        }
    }
    let wanted = [
        "cross_entropy",
        "linear_cross_entropy",
        "multi_margin",
        "multilabel_margin",
        "nll",
        "softmax_focal",
    ];
    assert_eq!(seen, wanted.into());
}
