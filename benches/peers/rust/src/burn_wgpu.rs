//! burn, on its wgpu backend over the software adapter.

use burn::nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, MseLoss, Reduction};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};

use crate::{GRADS, Row, version};

fn device() -> Device {
    Device::wgpu(DeviceKind::Cpu)
}

pub fn about() -> String {
    let (version, adapter) = (version("burn"), device().identity().unwrap().name);
    let threads = std::thread::available_parallelism().unwrap();
    let fusion = if cfg!(feature = "fusion") { "with" } else { "without" };
    format!("burn {version} on {adapter}, {threads} threads, {fusion} fusion and autotune")
}

fn measure<const D: usize>(row: &Row, own: impl Fn(Tensor<D>) -> Tensor<1>) {
    let x = Tensor::<D>::from_data(TensorData::new(row.x.clone(), row.dims), &device());
    let leaf = x.clone().autodiff().require_grad();
    let fused = || {
        let mut grads = own(leaf.clone()).backward();
        let grad = leaf.grad_remove(&mut grads).unwrap();
        device().sync().unwrap();
        grad
    };
    let first = |grad: Tensor<D>| {
        let grad = grad.reshape([row.x.len()]).slice(0..GRADS);
        grad.into_data().try_to_vec().unwrap()
    };
    row.measure(|| own(x.clone()).into_scalar(), fused, first);
}

fn product(row: &Row, [inputs, features, classes]: [usize; 3]) {
    let matrix =
        |list: &[f32], lines| Tensor::<2>::from_data(TensorData::new(list.to_vec(), [lines, features]), &device());
    let (x, weight) = (matrix(&row.x, inputs), matrix(&row.t, classes));
    let run = || {
        let product = x.clone().matmul(weight.clone().transpose());
        device().sync().unwrap();
        product
    };
    let first = |product: Tensor<2>| product.slice([0..1, 0..GRADS]).into_data().try_to_vec().unwrap();
    row.measure_product(run, first);
}

pub fn run(row: &Row) {
    if let ("product", &[inputs, features, classes]) = (row.name, row.dims) {
        return product(row, [inputs, features, classes]);
    }
    let t = Tensor::<1>::from_data(TensorData::from(&row.t[..]), &device());
    match row.name {
        "cross_entropy" => {
            let (t, own) = (t.int(), CrossEntropyLossConfig::new().init(&device()));
            measure::<2>(row, |x| own.forward(x, t.clone()));
        }
        "bce_with_logits" => {
            let config = BinaryCrossEntropyLossConfig::new().with_logits(true);
            let (t, own) = (t.int(), config.init(&device()));
            measure::<1>(row, |x| own.forward(x, t.clone()));
        }
        _ => measure::<1>(row, |x| MseLoss::new().forward(x, t.clone(), Reduction::Mean)),
    }
}
