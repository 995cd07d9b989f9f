//! The bits of every loss and optimizer, as they were when they were last meant to change: a digest for each dtype, mode and
//! reduction, kept for each adapter, driver and kind of processor that somebody has run. A change of structure leaves them all
//! alone.
//!
//! `WGLOSS_DIGEST=write` writes the file of the adapter under test. Elsewhere than where one was written, the test says so and
//! passes. `WGLOSS_TEST_LONG=1` takes all, and goes through the options of each loss, too; otherwise it is one in 150.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wgloss::optim::{OPTIMIZERS, State};
use wgloss::{Dtype, Engine, Info, Mode, REGISTRY, Reduction, Stats, Tensor, Tuning};

use crate::common::cases::{DTYPES, Setup, by_rows, make, settings};
use crate::common::data::Data;
use crate::common::own::values;
use crate::common::{bits, engine, gpu, is_long};

/// FNV-1a, of 64 bits.
#[derive(Clone, Copy)]
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, words: &[u32]) {
        for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Many short rows, rows of a workgroup with a ragged end, classes that are not innermost (of packs and of strips), one row of
/// few columns.
const SHAPES: [&[usize]; 5] = [&[4500, 10], &[5, 301], &[2, 9, 33, 34], &[2, 40, 33, 33], &[6, 21]];
/// The tuning of adapters nobody has here, and tiles of columns so small that short rows are wide.
const SMALL: Tuning = Tuning {
    wide_cols: 128,
    wide_tile: 64,
    ..Tuning::HARDWARE
};

/// All that a call leaves, for one mode.
fn run(engine: &Engine, info: &Info, setup: &Setup, mode: Mode, digest: &mut Digest) {
    let Some(mut case) = make(info, setup) else {
        return;
    };
    if mode.wants_grad() && !case.differentiable {
        return;
    }
    if info.statistics && mode.wants_loss() && setup.seed.is_multiple_of(2) {
        case.stats = Stats {
            lse: true,
            argmax: true,
            entropy: true,
            accuracy: true,
            z_loss: true,
        };
    }
    let Ok(output) = case.loss.run(engine, &case.call(mode)) else {
        return; // an option that does not go with the call, as statistics do not with everything
    };
    digest.add(&bits(&values(&output, engine)));
}

fn setup(info: &Info, shape: &[usize], (dtype, other): (Dtype, Dtype), reduction: Reduction, seed: u64) -> Setup {
    Setup {
        dtype,
        other,
        given: seed.is_multiple_of(2),
        full: seed.is_multiple_of(3),
        labels: [Dtype::I64, Dtype::I32, Dtype::U32, Dtype::U8][seed as usize % 4],
        setting: by_rows(info),
        reduction,
        seed,
        ..Setup::new(shape)
    }
}

/// Each loss by itself: its calls in all dtypes on the tuning of the adapter, and in f32 on the others.
fn losses(takes_all: bool, all: &mut BTreeMap<String, String>) {
    let tunings = [
        ("own", None),
        ("hardware", Some(Tuning::HARDWARE)),
        ("wide", Some(SMALL)),
    ];
    let mut place = 0;
    for info in REGISTRY {
        for (n, &dtypes) in DTYPES.iter().enumerate() {
            for (m, &reduction) in info.reductions.iter().enumerate() {
                for (k, mode) in Mode::ALL.into_iter().enumerate() {
                    for (name, tuning) in tunings.into_iter().take(if n == 0 { 3 } else { 1 }) {
                        place += 1;
                        if !takes_all && place % 150 > 0 {
                            continue;
                        }
                        let engine = tuning.map_or_else(engine::passing, engine::passing_tuned);
                        let mut digest = Digest::new();
                        for (l, shape) in SHAPES.into_iter().enumerate() {
                            // Given or not, classes or probabilities, dtypes of labels: by turns.
                            let seed = 2 + (n + m + k + l) as u64;
                            run(
                                &engine,
                                info,
                                &setup(info, shape, dtypes, reduction, seed),
                                mode,
                                &mut digest,
                            );
                        }
                        let (mode, reduction) = (mode.name(), reduction.name());
                        let key = format!("{}/{}-{}/{mode}/{reduction}/{name}", info.name, dtypes.0, dtypes.1);
                        all.insert(key, format!("{:016x}", digest.0));
                    }
                }
            }
        }
    }
}

/// Each loss with each of its options, all modes in turn.
fn options(all: &mut BTreeMap<String, String>) {
    for info in REGISTRY {
        for (n, setting) in settings(info).into_iter().enumerate() {
            let engine = engine::passing();
            let mut digest = Digest::new();
            let key = format!("{}/{setting:?}", info.name);
            for (k, shape) in [SHAPES[4], SHAPES[2]].into_iter().enumerate() {
                let reduction = info.reductions[n % info.reductions.len()];
                let own = setup(info, shape, DTYPES[0], reduction, (n + k) as u64);
                let own = Setup {
                    setting: setting.clone(),
                    ..own
                };
                run(&engine, info, &own, Mode::ALL[2 - (n + k) % 3], &mut digest);
            }
            all.insert(key, format!("{:016x}", digest.0));
        }
    }
}

fn optimizers(engine: &Engine, all: &mut BTreeMap<String, String>) {
    for info in OPTIMIZERS {
        for (dtype, other) in DTYPES {
            let mut digest = Digest::new();
            for shape in [&[3001usize][..], &[40, 8]] {
                let of = |seed, dtype| {
                    let numbers = Data::new(seed).logits(shape.iter().product());
                    Tensor::new(&numbers, shape).unwrap().to_dtype(dtype).unwrap()
                };
                let (mut param, grad) = (engine.upload(&of(1, dtype)).unwrap(), of(2, other));
                let mut state = State::default();
                for _ in 0..3 {
                    param = (info.new)().step(engine, &param, &grad, &mut state).unwrap();
                }
                let wide = param.numbers(engine).unwrap().data;
                digest.add(&wide.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
            }
            all.insert(format!("{}/{dtype}-{other}", info.name), format!("{:016x}", digest.0));
        }
    }
}

/// What the bits hang on, as a file's name: the adapter and its driver, and what the processor of a software one can do.
fn file() -> PathBuf {
    let info = gpu().adapter_info().unwrap();
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let features: [(&str, bool); 0] = [];
    let has: Vec<&str> = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    let processor = match info.device_type {
        wgpu::DeviceType::Cpu => format!(" {} {}", std::env::consts::ARCH, has.join(" ")),
        _ => String::new(),
    };
    let limits = std::env::var("WGLOSS_TEST_LIMITS").unwrap_or_default();
    let key = format!("{} {} {}{processor} {limits}", info.name, info.driver, info.driver_info).to_lowercase();
    let words: Vec<&str> = key
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digest");
    PathBuf::from(folder).join(format!("{}.json", words.join("-")))
}

#[test]
fn the_bits_of_all_results_are_what_they_were() {
    let writes = std::env::var("WGLOSS_DIGEST").is_ok_and(|what| what == "write");
    let file = file();
    if !writes && !file.exists() {
        println!(
            "SKIPPED: nobody has written {}; WGLOSS_DIGEST=write does",
            file.display()
        );
        return;
    }
    let takes_all = is_long() || writes;
    let mut all = BTreeMap::new();
    losses(takes_all, &mut all);
    optimizers(gpu(), &mut all);
    if takes_all {
        options(&mut all);
    }
    if writes {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
        return;
    }
    let kept: BTreeMap<String, String> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let other: Vec<&String> = all
        .iter()
        .filter(|(key, own)| kept.get(*key) != Some(own))
        .map(|(key, _)| key)
        .collect();
    assert!(
        other.is_empty(),
        "{} of {} have other bits than in {}: {other:?}",
        other.len(),
        all.len(),
        file.display()
    );
    let lost: Vec<&String> = kept.keys().filter(|key| takes_all && !all.contains_key(*key)).collect();
    assert!(lost.is_empty(), "no longer there: {lost:?}");
}
