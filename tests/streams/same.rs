//! The bits of the call in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wgloss::{Array, Dtype, Engine, Error, Mode, REGISTRY, Reduction, Values};

use crate::common::cases::{DTYPES, Setup, by_rows, make};
use crate::common::elsewhere::{streamed, streamed_within};
use crate::common::{bits, engine, gpu, is_long, takes};

/// The loss of `engine` in memory and streamed, over the registry; calls `compare` with both and the number of parts.
fn sweep(
    engine: impl Fn() -> Arc<Engine>,
    shapes: &[&[usize]],
    dtypes: &[(Dtype, Dtype)],
    compare: impl Fn(&str, &Values, &Values, u64),
) {
    for (n, info) in REGISTRY.iter().enumerate() {
        for (nth, shape) in shapes.iter().enumerate() {
            // Classes meet all classes there.
            if info.name == "multilabel_margin" && shape[1] > 1000 {
                continue;
            }
            for &(dtype, other) in dtypes {
                for (r, reduction) in [Reduction::None, Reduction::Mean].into_iter().enumerate() {
                    let engine = &*engine();
                    if engine.wgpu().is_some() && !takes(n + nth + 2 * r, 4) {
                        continue;
                    }
                    let setup = Setup {
                        dtype,
                        other,
                        given: nth == 1,
                        reduction,
                        setting: by_rows(info),
                        ..Setup::new(shape)
                    };
                    let Some(case) = make(info, &setup) else { continue };
                    let mode = case.most();
                    let whole = case.loss.run(engine, &case.call(mode)).unwrap().read(engine).unwrap();
                    let (values, parts) = streamed(engine, &case, mode);
                    compare(&format!("{} {dtype} {mode:?}", case.what), &values, &whole, parts);
                }
            }
        }
    }
}

#[test]
fn every_loss_streams_to_the_same_bits() {
    let cut = AtomicU64::new(0);
    let compare = |what: &str, values: &Values, whole: &Values, parts| {
        assert!(bits(values) == bits(whole), "{what}");
        cut.fetch_add(u64::from(parts > 2), Ordering::Relaxed);
    };
    sweep(
        engine::passing,
        &[&[1201, 33], &[57, 516], &[2, 5, 4001]],
        &DTYPES[..1],
        compare,
    );
    sweep(engine::passing, &[&[1201, 33]], &DTYPES[1..2], compare);
    assert!(cut.load(Ordering::Relaxed) > if is_long() { 50 } else { 12 }, "{cut:?}");
}

/// The sums of slices are added up in another order than the whole's: in f64, which shows in f32 hardly ever.
#[test]
fn the_reference_streams_too() {
    let engine = Arc::new(Engine::cpu());
    let cut = AtomicU64::new(0);
    let shapes: [&[usize]; 2] = [&[401, 33], &[97, 128]];
    sweep(
        || Arc::clone(&engine),
        &shapes,
        &DTYPES[..2],
        |what, values, whole, parts| {
            let (mut values, mut whole) = (values.clone(), whole.clone());
            for (own, other) in [(&mut values.loss, &whole.loss), (&mut values.z_loss, &whole.z_loss)] {
                if let (Some(Array { shape, data, .. }), Some(other)) = (own, other)
                    && shape.is_empty()
                    && (data[0] - other.data[0]).abs() <= f32::EPSILON * data[0].abs()
                {
                    data[0] = other.data[0];
                }
            }
            // The weights of the rows kept, for a report.
            (values.weight, whole.weight) = (None, None);
            assert!(bits(&values) == bits(&whole), "{what}");
            cut.fetch_add(u64::from(parts > 2), Ordering::Relaxed);
        },
    );
    assert!(cut.load(Ordering::Relaxed) > 50, "{cut:?}");
}

/// Gradients of slabs go elsewhere with whole slabs, each byte once: where a part ends with a slab or would not, where
/// tiles reach from one slab into the next, and where a part has room for a piece of one.
#[test]
fn slabs_go_elsewhere_whole() {
    let info = wgloss::find("cross_entropy").unwrap();
    let shapes: [&[usize]; 5] = [
        &[4, 60, 1920],
        &[3, 72, 2048],
        &[300, 40, 100],
        &[120, 40, 101],
        &[2, 12, 16_384],
    ];
    for (n, shape) in shapes.into_iter().enumerate() {
        let setup = Setup {
            dtype: Dtype::FLOATS[[0, 0, 0, 2, 1][n]],
            reduction: [Reduction::None, Reduction::Mean][n % 2],
            ..Setup::new(shape)
        };
        let case = make(info, &setup).unwrap();
        let whole = case
            .loss
            .run(gpu(), &case.call(Mode::Fused))
            .unwrap()
            .read(gpu())
            .unwrap();
        let mut most = 0;
        for memory in (0..10).map(|k| 700_000 << k >> (k / 2)) {
            match streamed_within(gpu(), &case, Mode::Fused, memory) {
                Ok((values, parts)) => {
                    assert!(bits(&values) == bits(&whole), "{} within {memory}", case.what);
                    most = most.max(parts);
                }
                Err(Error::Memory { .. }) => {}
                Err(error) => panic!("{}: {error}", case.what),
            }
        }
        assert!(most > 2, "{}: {most} parts", case.what);
    }
}
