//! Runs the program, and makes its files.
#![allow(dead_code, reason = "each test file uses its part")]

use std::process::Command;

pub mod zip;

pub const DIGITS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/digits_logits.npy"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/digits_labels.npy"),
];

pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {} {}", self.stdout, self.stderr))
    }
}

pub fn run(args: &[&str]) -> Done {
    run_with(args, &[])
}

pub fn run_with(args: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgloss"));
    let output = command.args(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done {
        code: output.status.code().expect("ended by a signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

pub fn run_on(backend: &str, args: &[&str]) -> Done {
    run(&[args, &["--backend", backend]].concat())
}

/// As on a machine without any adapter.
pub fn blind(args: &str) -> Done {
    let words: Vec<&str> = args.split_whitespace().collect();
    run_with(&words, &[("VK_DRIVER_FILES", "/dev/null"), ("WGPU_BACKEND", "vulkan")])
}

pub fn blind_json(args: &str) -> serde_json::Value {
    let done = blind(&format!("{args} --json"));
    assert_eq!(done.code, 0, "{args}: {}", done.stderr);
    done.json()
}

pub fn refused_blind(args: &str) -> (i32, String) {
    let done = blind(args);
    assert_ne!(done.code, 0, "{args}: {}", done.stdout);
    (done.code, done.stderr)
}

/// All losses, as the command line names them.
pub fn losses() -> Vec<String> {
    let list = run(&["losses", "--json"]).json();
    let names = list.as_array().unwrap().iter().map(|own| own["name"].as_str().unwrap());
    names.map(|name| name.replace('_', "-")).collect()
}

/// A folder of its own, removed at the end of the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().into()
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
        self.path(name)
    }

    pub fn safetensors(&self, name: &str, key: &str, data: &[f32], shape: &[usize]) -> String {
        let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes).unwrap();
        self.file(name, &safetensors::serialize([(key, view)], None).unwrap())
    }

    /// Tensors of any dtypes, by key.
    pub fn tensors(&self, name: &str, list: &[(&str, safetensors::Dtype, &[usize], Vec<u8>)]) -> String {
        let views = list.iter().map(|(key, dtype, shape, bytes)| {
            let view = safetensors::tensor::TensorView::new(*dtype, shape.to_vec(), bytes);
            (*key, view.unwrap())
        });
        self.file(name, &safetensors::serialize(views, None).unwrap())
    }

    /// The names of its files.
    pub fn list(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A .npy file with a header of 118 bytes, as numpy writes them.
pub fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{text:<117}\n").as_bytes());
    bytes.extend(data);
    bytes
}

pub fn npy_f32(data: &[f32], shape: &str) -> Vec<u8> {
    npy(
        "<f4",
        shape,
        &data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>(),
    )
}

/// The bytes of numbers in a .safetensors file, which holds them in this order.
pub fn little<T: Copy, const N: usize>(data: &[T], bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    data.iter().flat_map(|&x| bytes(x)).collect()
}

/// Labels of N bytes each.
pub fn labels<const N: usize>(descr: &str, data: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()[..N].to_vec()).collect();
    npy(descr, &format!("({},)", data.len()), &bytes)
}

pub fn grid(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7) % 5) as f32 * 0.5 - 1.0).collect()
}

/// The header and the data of a written file.
pub fn read_all(path: &str) -> (String, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (header, data) = bytes[10..].split_at(length);
    (String::from_utf8(header.to_vec()).unwrap(), data.to_vec())
}

/// The same where the data is f32.
pub fn read_f32(path: &str) -> (String, Vec<f32>) {
    let (header, data) = read_all(path);
    let numbers = data
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    (header, numbers.collect())
}
