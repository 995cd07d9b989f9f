//! The promise that one adapter, driver and tuning table give the same bits: over 20 runs, over the sizes of the pieces
//! that a call is cut into, and over the threads of a software adapter. For every loss and gradient.

use std::process::Command;

use wgloss::{Dtype, Engine, Limits, REGISTRY, Tuning};

use crate::common::cases::{Case, Setup, by_rows, make};
use crate::common::{bits, engine, gpu, is_long, report};

/// Every loss in each of its reductions, in f32 and a 16-bit dtype: rows of one lane, rows of a workgroup and classes
/// that are not innermost, each of several tiles. All of them, or one of every other loss, from a place of its own.
fn cases(takes_all: bool) -> Vec<Case> {
    let mut list = Vec::new();
    for (n, info) in REGISTRY.iter().enumerate() {
        let half = [Dtype::F16, Dtype::Bf16][n % 2];
        let mut of_this = Vec::new();
        for (k, shape) in [&[5000usize, 9][..], &[90, 500], &[13, 5, 700]].iter().enumerate() {
            for &reduction in info.reductions {
                for dtype in [Dtype::F32, half] {
                    let setup = Setup {
                        dtype,
                        other: if n % 2 == 0 { Dtype::F32 } else { dtype },
                        given: (n + k) % 2 == 0,
                        full: k == 1,
                        reduction,
                        setting: by_rows(info),
                        seed: 4,
                        ..Setup::new(shape)
                    };
                    of_this.push(setup);
                }
            }
        }
        // Neighbours differ in dtype, reduction and shape.
        let len = of_this.len();
        let turned = (0..len).map(|i| &of_this[(i + 7 * n) % len]);
        let made = turned.filter_map(|setup| make(info, setup));
        list.extend(made.take(match takes_all {
            true => len,
            false => (n + 1) % 2, // of every other loss
        }));
    }
    list
}

fn run(case: &Case, engine: &Engine) -> wgloss::Result<Vec<u32>> {
    let output = case.loss.run(engine, &case.call(case.most()))?;
    Ok(bits(&output.read(engine)?))
}

/// 20 runs of each case, in turn under five sizes of bindings and dispatches: from all at once to dozens of pieces.
#[test]
fn twenty_runs_however_cut_have_the_same_bits() {
    let mut engine = engine::fresh();
    let whole = engine.plan_limits().unwrap();
    let cut = |max_binding_bytes, max_groups| Limits {
        max_binding_bytes,
        max_groups,
        offset_alignment: 256,
        ..whole
    };
    // Tiles of a hardware adapter have 64 KiB.
    let sizes = [
        whole,
        cut(1 << 17, 100),
        Limits {
            max_dispatch_bytes: 96 << 10,
            ..whole
        },
        cut(80_000, 1000),
        cut(70_000, 3),
    ];
    let tuning = Tuning::of(engine.adapter_info().unwrap());
    let cases = cases(is_long());
    let mut firsts: Vec<Option<Vec<u32>>> = cases.iter().map(|_| None).collect();
    let mut failures = Vec::new();
    let pieces = |case: &Case, limits: &Limits| {
        let problem = case.loss.problem(&case.call(case.most())).unwrap();
        wgloss::plan::plan(&problem, limits, &tuning)
            .unwrap()
            .dispatches()
            .count()
    };
    for case in &cases {
        let [one, .., most] = sizes.each_ref().map(|limits| pieces(case, limits));
        assert!(most > one, "{} is not cut", case.what);
    }
    for nth in 0..20 {
        let limits = sizes[nth % sizes.len()];
        engine.set_plan_limits(limits).unwrap();
        for (case, first) in cases.iter().zip(&mut firsts) {
            match (run(case, &engine), first) {
                (Ok(got), first @ None) => *first = Some(got),
                (Ok(got), Some(first)) if got == *first => {}
                (Ok(got), Some(first)) => {
                    let differ = got.iter().zip(first.iter()).filter(|(a, b)| a != b).count();
                    failures.push(format!("{} run {nth}, {limits:?}: {differ} differ", case.what));
                }
                (Err(error), _) => failures.push(format!("{} run {nth}, {limits:?}: {error}", case.what)),
            }
        }
    }
    let least = if is_long() { 250 } else { REGISTRY.len() / 2 };
    assert!(cases.len() >= least, "{} cases", cases.len());
    report(failures, 20 * cases.len());
}

/// FNV-1a: the standard library's hasher may change from one version to the next.
fn hash(bits: &[u32]) -> u64 {
    let bytes = bits.iter().flat_map(|word| word.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// One line per case.
fn hashes(engine: &Engine) -> Vec<String> {
    let line = |case: &Case| format!("{:016x} {}", hash(&run(case, engine).unwrap()), case.what);
    cases(is_long()).iter().step_by(3).map(line).collect()
}

/// How many threads the driver has, where that can be told.
fn driver_threads() -> Option<usize> {
    let name = gpu().name();
    let (_, start) = [("llvmpipe", "llvmpipe-"), ("SwiftShader", "Thread<")]
        .into_iter()
        .find(|(driver, _)| name.contains(driver))?;
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    Some(names.filter(|name| name.starts_with(start)).count())
}

/// What the test below runs in processes of their own: drivers ask for their number of threads once.
#[test]
#[ignore = "part of the_threads_of_a_software_adapter_change_no_bit"]
fn one_process_of_several() {
    for line in hashes(gpu()) {
        println!("bits {line}");
    }
    if let Some(count) = driver_threads() {
        println!("threads {count}");
    }
}

/// llvmpipe reads LP_NUM_THREADS, SwiftShader a file in its working directory. Other adapters read neither, and have to
/// give the same bits in another process.
#[test]
fn the_threads_of_a_software_adapter_change_no_bit() {
    let all: &[usize] = if is_long() { &[1, 2, 3, 4, 8] } else { &[1, 4] };
    let mut want: Option<Vec<String>> = None;
    let mut failures = Vec::new();
    for threads in all {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("[Processor]\nThreadCount={threads}\n");
        std::fs::write(folder.path().join("SwiftShader.ini"), settings).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "determinism::one_process_of_several",
                "--ignored",
                "--nocapture",
            ])
            .env("LP_NUM_THREADS", threads.to_string())
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        let complaint = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{threads} threads: {said}{complaint}");
        let lines = |word: &'static str| {
            said.lines()
                .filter_map(move |line| line.split_once(word))
                .map(|(_, rest)| rest)
        };
        let got: Vec<String> = lines("bits ").map(String::from).collect();
        let want = want.get_or_insert_with(|| got.clone());
        assert!(got.len() >= REGISTRY.len() / 6 && got.len() == want.len(), "{said}");
        let differ = got.iter().zip(want.iter()).filter(|(got, want)| got != want);
        failures.extend(differ.map(|(got, want)| format!("{threads} threads: {got} instead of {want}")));
        for count in lines("threads ") {
            // So many for each device that the process has opened.
            let count: usize = count.parse().unwrap();
            assert!(
                count > 0 && count.is_multiple_of(*threads),
                "{count} threads of the driver, {threads} asked for"
            );
        }
    }
    report(failures, all.len() * want.map_or(0, |want| want.len()));
}

/// On the processor work is cut by shapes alone, and what is added up is added in one order.
#[test]
fn the_threads_of_the_processor_change_no_bit() {
    let engine = Engine::cpu();
    let pools = [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    let all = cases(true);
    for case in all.iter().step_by(3) {
        let [alone, several] = pools
            .each_ref()
            .map(|pool| pool.install(|| run(case, &engine)).unwrap());
        assert!(alone == several, "{}", case.what);
    }
    assert!(all.len() > 100);
}
