//! Pipelines: compiled once, ahead where asked, and kept in a file that nothing can break.

use std::sync::Barrier;

use wgloss::{Activity, Call, CrossEntropy, Dtype, Engine, Error, Loss, Mode, Mse, Tensor};

use crate::common::data::Data;
use crate::common::engine::{fresh, opened};
use crate::common::{bits, gpu};

fn activity(engine: &Engine) -> Activity {
    engine.activity().unwrap()
}

fn tensors() -> (Tensor, Tensor) {
    let mut data = Data::new(11);
    let x = Tensor::new(&data.logits(40 * 100), &[40, 100]).unwrap();
    (x, Tensor::new(&data.labels(40, 100, Some(-100)), &[40]).unwrap())
}

/// What a warmed engine is asked for then is there.
#[test]
fn warm_up_leaves_nothing_to_compile() {
    let engine = fresh();
    let (x, labels) = tensors();
    let shape = |tensor: &Tensor| Tensor::placeholder(tensor.dtype(), tensor.shape()).unwrap();
    let (logits, classes) = (shape(&x), shape(&labels));
    let (ce, mse) = (CrossEntropy::default(), Mse::default());
    engine
        .warm_up(&[
            (&ce, &Call::new(Mode::Fused, &[&logits, &classes])),
            (&mse, &Call::new(Mode::Forward, &[&logits, &logits])),
            (&mse, &Call::new(Mode::Forward, &[&logits, &logits])),
        ])
        .unwrap();
    let warm = activity(&engine);
    assert!(
        warm.pipelines >= 3 && warm.dispatches == 0 && warm.buffers == 0,
        "{warm:?}"
    );
    let fused = ce
        .forward_backward(&engine, &[&x, &labels], None)
        .unwrap()
        .read(&engine)
        .unwrap();
    let _ = mse.forward(&engine, &[&x, &x]).unwrap().read(&engine).unwrap();
    assert_eq!(activity(&engine).pipelines, warm.pipelines);
    let want = ce
        .forward_backward(gpu(), &[&x, &labels], None)
        .unwrap()
        .read(gpu())
        .unwrap();
    assert!(bits(&fused) == bits(&want));
}

#[test]
fn warm_up_finds_the_errors_of_a_call() {
    let wrong = Tensor::placeholder(Dtype::F32, &[4]).unwrap();
    let call = Call::new(Mode::Forward, &[&wrong, &wrong]);
    for engine in [gpu(), &Engine::cpu()] {
        let bad = CrossEntropy {
            label_smoothing: 2.0,
            ..Default::default()
        };
        assert!(matches!(engine.warm_up(&[(&bad, &call)]), Err(Error::Option { .. })));
    }
}

/// A placeholder is refused by whatever needs elements, by name, and nothing panics.
#[test]
fn placeholders_have_no_elements() {
    let (x, labels) = tensors();
    let place = Tensor::placeholder(Dtype::F32, x.shape()).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        let called = CrossEntropy::default().forward(engine, &[&place, &labels]);
        match called {
            Err(Error::Operand { name: "input", message }) => assert!(message.contains("placeholder"), "{message}"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(place.read::<f32>(engine), Err(Error::Operand { .. })));
    }
    assert!(Tensor::placeholder(Dtype::F32, &[usize::MAX, 2]).is_err());
}

/// Eight threads that need the same pipelines at the same time: one compiles each, the others wait for it.
#[test]
fn threads_compile_each_pipeline_once() {
    let (x, labels) = tensors();
    let compiled = |threads: usize| {
        let engine = fresh();
        let (x, labels) = (engine.upload(&x).unwrap(), engine.upload(&labels).unwrap());
        let start = Barrier::new(threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    start.wait();
                    let output = CrossEntropy::default()
                        .forward_backward(&engine, &[&x, &labels], None)
                        .unwrap();
                    let _ = output.read(&engine).unwrap();
                });
            }
        });
        activity(&engine).pipelines
    };
    assert_eq!(compiled(8), compiled(1));
}

/// An engine that keeps its pipelines in a folder, and what a call on it gives.
fn kept(folder: &std::path::Path) -> Option<(Engine, Vec<u32>)> {
    let mut engine = opened();
    let (x, labels) = tensors();
    if !engine.keep_pipelines(folder).unwrap() {
        return None; // not Vulkan
    }
    let output = CrossEntropy::default()
        .forward_backward(&engine, &[&x, &labels], None)
        .unwrap();
    let values = output.read(&engine).unwrap();
    Some((engine, bits(&values)))
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let list = std::fs::read_dir(folder).unwrap();
    list.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn pipelines_are_kept_in_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/when/needed");
    let Some((engine, first)) = kept(&folder) else { return };
    assert!(!folder.exists());
    engine.save_pipelines().unwrap();
    let file = files(&folder);
    assert_eq!(file.len(), 1, "{file:?}");
    let held = std::fs::read(&file[0]).unwrap();
    assert!(held.starts_with(b"wgloss pipelines"));
    // Nothing new: nothing is written, not even at the end.
    std::fs::remove_file(&file[0]).unwrap();
    drop(engine);
    assert!(files(&folder).is_empty());
    // The end of an engine writes what it compiled.
    let (engine, second) = kept(&folder).unwrap();
    drop(engine);
    assert_eq!(files(&folder), file);
    let (_, third) = kept(&folder).unwrap();
    assert!(first == second && second == third);
}

/// Damaged, foreign, empty, endless: each is as none, and replaced by a whole one.
#[test]
fn no_file_breaks_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let Some((engine, want)) = kept(folder.path()) else {
        return;
    };
    drop(engine);
    let file = files(folder.path()).remove(0);
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut early = whole.clone();
    early[20] ^= 1;
    let broken: [&[u8]; 7] = [
        b"",
        b"wgloss",
        b"wgloss pipelines 1\n",
        &[0xff; 4096],
        &whole[..whole.len() / 2],
        &flipped,
        &early,
    ];
    for bytes in broken {
        std::fs::write(&file, bytes).unwrap();
        let (engine, got) = kept(folder.path()).unwrap();
        assert!(got == want);
        drop(engine);
        assert!(std::fs::read(&file).unwrap().starts_with(b"wgloss pipelines 1\n"));
    }
    // Longer than is read at all.
    std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    assert!(kept(folder.path()).unwrap().1 == want);
}

/// A folder that cannot be written to is an error of saving, by name, and no panic when the engine ends.
#[test]
fn a_folder_that_cannot_be_is_an_error_of_saving() {
    let folder = tempfile::tempdir().unwrap();
    let no_folder = folder.path().join("file");
    std::fs::write(&no_folder, "in the way").unwrap();
    let Some((engine, _)) = kept(&no_folder) else { return };
    assert!(matches!(
        engine.save_pipelines(),
        Err(Error::Io {
            name: "pipeline_cache",
            ..
        })
    ));
    drop(engine);
    assert_eq!(files(folder.path()), [no_folder]);
}
