//! candle, on its CPU device.

use candle_core::{Device, Tensor, Var, utils};
use candle_nn::loss;

use crate::{GRADS, Row, version};

pub fn about() -> String {
    let (version, threads) = (version("candle-core"), utils::get_num_threads());
    format!(
        "candle {version} on the CPU, {threads} threads, AVX2: {}",
        utils::with_avx()
    )
}

pub fn run(row: &Row) {
    let x = Tensor::from_slice(&row.x, row.dims, &Device::Cpu).unwrap();
    let leaf = Var::from_tensor(&x).unwrap();
    let t = Tensor::from_slice(&row.t, row.dims[0], &Device::Cpu).unwrap();
    let classes = Tensor::from_iter(row.t.iter().map(|&t| t as u32), &Device::Cpu).unwrap();
    let own = |x: &Tensor| match row.name {
        "cross_entropy" => loss::cross_entropy(x, &classes).unwrap(),
        "bce_with_logits" => loss::binary_cross_entropy_with_logit(x, &t).unwrap(),
        _ => loss::mse(x, &t).unwrap(),
    };
    let first = |grad: Tensor| {
        let grad = grad.flatten_all().unwrap().narrow(0, 0, GRADS);
        grad.unwrap().to_vec1().unwrap()
    };
    let fused = || own(&leaf).backward().unwrap().remove(&leaf).unwrap();
    row.measure(|| own(&x).to_scalar().unwrap(), fused, first);
}
