//! Steps in several dispatches.

use std::collections::{BTreeSet, HashMap};

use wgloss::limits::MAX_ITERATIONS;
use wgloss::optim::{OPTIMIZERS, State};
use wgloss::plan::{Dispatch, Origin, plan_update};
use wgloss::{AdamW, Engine, Limits, Optimizer, Role, Sgd, Tensor, Tuning};

use super::{DTYPES, bits, updates};
use crate::common::data::Data;
use crate::common::engine;

#[test]
fn cutting_changes_no_bit() {
    let mut engine = engine::Both::new(80 << 10);
    let mut data = Data::new(32);
    for (dtype, grad_dtype) in DTYPES {
        for len in [100_000usize, 100_003] {
            let mut random = |dtype| Tensor::new(&data.logits(len), &[len]).unwrap().to_dtype(dtype).unwrap();
            let (start, grads) = (random(dtype), [random(grad_dtype), random(grad_dtype)]);
            for optimizer in [
                &Sgd {
                    momentum: 0.9,
                    ..Default::default()
                } as &dyn Optimizer,
                &AdamW {
                    amsgrad: true,
                    ..Default::default()
                },
            ] {
                let update = optimizer
                    .update(start.view(), grads[0].view(), &State::default())
                    .unwrap();
                let plan = plan_update(&update, &engine.cut().plan_limits().unwrap(), &Tuning::SOFTWARE).unwrap();
                assert!(plan.steps.len() > 5, "{} steps", plan.steps.len());
                let run = |engine: &Engine| {
                    let (mut param, mut state) = (engine.upload(&start).unwrap(), State::default());
                    for grad in &grads {
                        param = optimizer.step(engine, &param, grad, &mut state).unwrap();
                    }
                    let mut all = bits(&param, engine);
                    all.extend(state.tensors().iter().flat_map(|(_, tensor)| bits(tensor, engine)));
                    all
                };
                assert!(
                    run(engine.whole()) == run(engine.cut()),
                    "{optimizer:?} {dtype} {grad_dtype} {len}"
                );
            }
        }
    }
}

/// Bindings of 128 KiB, where a tile has up to 64.
const INVENTED: Limits = Limits {
    max_binding_bytes: 128 << 10,
    max_buffer_bytes: 1 << 40,
    max_dispatch_bytes: 1 << 30,
    offset_alignment: 32,
    uniform_alignment: 256,
    max_groups: 3,
    max_width: 256,
    subgroup: 1,
    unpacks_f16: false,
    packs_f16: false,
    scratch_bytes: 64 << 20,
};

/// Chunks keep the limits and cover every element once; nothing here is computed.
#[test]
fn plans_keep_invented_limits() {
    let limits = INVENTED;
    for update in updates() {
        for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
            let plan = plan_update(&update, &limits, &tuning).unwrap();
            let (mut tile, mut end, mut own_tile) = (0, 0, 1);
            for dispatch in plan.dispatches() {
                own_tile = dispatch.variant.label.rsplit_once("/tile").unwrap().1.parse().unwrap();
                assert_eq!(dispatch.tiles.0, tile);
                tile = dispatch.tiles.1;
                let [x, y] = dispatch.groups;
                assert!(
                    x <= limits.max_groups && y <= limits.max_groups && u64::from(x * y) >= tile - dispatch.tiles.0
                );
                assert!(dispatch.iterations < MAX_ITERATIONS);
                for own in &dispatch.bindings {
                    assert!(own.size <= limits.max_binding_bytes && own.offset.is_multiple_of(limits.offset_alignment));
                    if own.source == Origin::Tensor(Role::Param) {
                        end = own.offset + own.size;
                    }
                }
            }
            assert_eq!(tile, update.param.len().div_ceil(own_tile));
            assert_eq!(end, update.param.end().next_multiple_of(4));
        }
    }
    let tiny = Limits {
        max_binding_bytes: 1 << 10,
        ..limits
    };
    let error = plan_update(&updates()[0], &tiny, &Tuning::SOFTWARE).unwrap_err();
    assert!(error.to_string().contains("does not fit into one binding"), "{error}");
}

/// Two variants of one label would be told apart by nobody.
#[test]
fn labels_tell_variants_apart() {
    let mut seen: HashMap<String, Dispatch> = HashMap::new();
    for update in updates() {
        let plan = plan_update(&update, &INVENTED, &Tuning::SOFTWARE).unwrap();
        for dispatch in plan.dispatches() {
            let old = seen.insert(dispatch.variant.label.clone(), dispatch.clone());
            assert!(
                old.is_none_or(|old| old.variant == dispatch.variant),
                "{}",
                dispatch.variant.label
            );
        }
    }
    let names: BTreeSet<_> = seen
        .keys()
        .map(|label| label.split('/').next().unwrap().to_string())
        .collect();
    assert!(OPTIMIZERS.iter().all(|info| names.contains(info.name)));
}
