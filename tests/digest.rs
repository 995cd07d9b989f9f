//! The bits of every loss and optimizer, as they were when they were last meant to change: a digest for each dtype,
//! mode and reduction, kept for each adapter, driver and kind of processor that somebody has run. A change of structure
//! leaves them all alone.
//!
//! `WGLOSS_DIGEST=write` writes the file of the adapter under test. Elsewhere than where one was written, the test says
//! so and passes. `WGLOSS_TEST_LONG=1` goes through 16-bit dtypes, other tunings and the options of each loss, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;
use wgloss::optim::{OPTIMIZERS, State};
use wgloss::{Dtype, Engine, Info, Mode, REGISTRY, Reduction, Stats, Tensor, Tuning};

use crate::common::cases::{DTYPES, Setup, by_rows, make, settings};
use crate::common::data::Data;
use crate::common::own::values;
use crate::common::{bits, engine, gpu};

type Digests = BTreeMap<String, String>;

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

    fn keep(self, key: String, all: &mut Digests) {
        all.insert(key, format!("{:016x}", self.0));
    }
}

/// Rows of a workgroup with a ragged end, rows of few columns, and classes that are not innermost.
const SHAPES: [&[usize]; 3] = [&[5, 301], &[6, 21], &[2, 9, 7, 5]];
/// Of one call of each loss besides: packs of many short rows, and strips, which compilers take seconds for.
const MANY: [&[usize]; 3] = [&[4500, 10], &[2, 9, 33, 34], &[2, 40, 33, 33]];
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

/// The calls of a loss in some dtypes, of one shape each by turns.
fn calls(engine: &Engine, info: &Info, tuning: &str, dtypes: &[(Dtype, Dtype)], all: &mut Digests) {
    for (n, &dtypes) in dtypes.iter().enumerate() {
        for (m, &reduction) in info.reductions.iter().enumerate() {
            for (k, mode) in Mode::ALL.into_iter().enumerate() {
                let mut digest = Digest::new();
                // Given or not, classes or probabilities, dtypes of labels: by turns, too.
                let nth = n + m + k;
                let own = setup(info, SHAPES[nth % 3], dtypes, reduction, 2 + nth as u64);
                run(engine, info, &own, mode, &mut digest);
                let (mode, reduction) = (mode.name(), reduction.name());
                let key = format!("{}/{}-{}/{mode}/{reduction}/{tuning}", info.name, dtypes.0, dtypes.1);
                digest.keep(key, all);
            }
        }
    }
}

/// A loss in calls of many rows.
fn many(engine: &Engine, info: &Info, all: &mut Digests) {
    for (n, shape) in MANY.into_iter().enumerate() {
        let mut digest = Digest::new();
        let reduction = info.reductions[n % info.reductions.len()];
        let own = setup(info, shape, DTYPES[0], reduction, 2 + n as u64);
        run(engine, info, &own, Mode::Fused, &mut digest);
        digest.keep(format!("{}/many/{shape:?}", info.name), all);
    }
}

/// A loss with each value of each option, all modes in turn.
fn options(engine: &Engine, info: &Info, all: &mut Digests) {
    let single = settings(info).into_iter().filter(|setting| setting.len() < 2);
    for (n, setting) in single.enumerate() {
        let mut digest = Digest::new();
        let key = format!("{}/{setting:?}", info.name);
        let reduction = info.reductions[n % info.reductions.len()];
        let own = Setup {
            setting,
            ..setup(info, SHAPES[1 + n % 2], DTYPES[0], reduction, n as u64)
        };
        run(engine, info, &own, Mode::ALL[2 - n % 3], &mut digest);
        digest.keep(key, all);
    }
}

fn optimizers(engine: &Engine, all: &mut Digests) {
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
            digest.keep(format!("{}/{dtype}-{other}", info.name), all);
        }
    }
}

/// What the bits hang on, as a file's name: the adapter and its driver, and what the processor of a software one can
/// do.
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

fn engine_of(tuning: Option<Tuning>) -> Engine {
    let mut engine = engine::fresh();
    if let Some(tuning) = tuning {
        engine.set_tuning(tuning).unwrap();
    }
    engine
}

/// The calls in f32 of all losses and the steps of the optimizers.
fn short() -> Digests {
    let of = |info: &&Info| {
        let mut all = Digests::new();
        calls(&engine_of(None), info, "own", &DTYPES[..1], &mut all);
        all
    };
    let mut all: Digests = REGISTRY.par_iter().flat_map(of).collect();
    optimizers(&engine_of(None), &mut all);
    all
}

/// The other dtypes, tunings, many rows, and options. Each loss has engines of its own, which take its pipelines along.
fn long() -> Digests {
    let of = |info: &&Info| {
        let mut all = Digests::new();
        let engine = engine_of(None);
        calls(&engine, info, "own", &DTYPES[1..], &mut all);
        many(&engine, info, &mut all);
        options(&engine, info, &mut all);
        drop(engine);
        calls(
            &engine_of(Some(Tuning::HARDWARE)),
            info,
            "hardware",
            &DTYPES[..1],
            &mut all,
        );
        calls(&engine_of(Some(SMALL)), info, "wide", &DTYPES[..1], &mut all);
        all
    };
    REGISTRY.par_iter().flat_map(of).collect()
}

/// Holds the digests of a form against those kept.
fn compare(form: &str, kept: &Digests, own: &Digests) {
    let other = |key: &&String| kept.get(*key) != own.get(*key);
    let keys: BTreeSet<&String> = kept.keys().chain(own.keys()).collect();
    let other: Vec<&String> = keys.into_iter().filter(other).collect();
    assert!(
        other.is_empty(),
        "{} of {} of the {form} form have other bits, or are on one side alone: {other:?}",
        other.len(),
        own.len()
    );
}

#[test]
fn the_bits_of_all_results_are_what_they_were() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|own| own == value);
    let (is_long, writes) = (is("WGLOSS_TEST_LONG", "1"), is("WGLOSS_DIGEST", "write"));
    let file = file();
    let mut kept: BTreeMap<String, Digests> = match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(_) => BTreeMap::new(),
    };
    for form in ["short", "long"].into_iter().take(1 + usize::from(is_long)) {
        let compute = if form == "short" { short } else { long };
        match kept.get(form) {
            _ if writes => drop(kept.insert(form.into(), compute())),
            Some(kept) => compare(form, kept, &compute()),
            None => println!(
                "SKIPPED: nobody has written the {form} form of {}; WGLOSS_DIGEST=write does",
                file.display()
            ),
        }
    }
    if writes {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, serde_json::to_string_pretty(&kept).unwrap() + "\n").unwrap();
    }
}
