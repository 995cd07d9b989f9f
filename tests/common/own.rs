//! Calls on memory that the tests write as they like, and what comes of them.

use std::io;
use std::sync::Arc;

use wgloss::{Activity, Dtype, Engine, Error, Output, Pages, Tensor, Values};

use super::data::Data;

pub fn activity(engine: &Engine) -> Activity {
    engine.activity().unwrap()
}

pub fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    Tensor::new(&Data::new(seed).logits(shape.iter().product()), shape).unwrap()
}

pub fn labels(seed: u64, rows: usize, classes: usize) -> Tensor {
    Tensor::new(&Data::new(seed).labels(rows, classes, Some(-100)), &[rows]).unwrap()
}

/// A tensor in a buffer of the user's, who writes it whenever they like.
pub struct Own {
    pub buffer: wgpu::Buffer,
    pub tensor: Tensor,
}

pub fn own(engine: &Engine, dtype: Dtype, shape: &[usize]) -> Own {
    let (device, _) = engine.wgpu().unwrap();
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: (shape.iter().product::<usize>() as u64 * dtype.bytes()).next_multiple_of(16),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let tensor = Tensor::from_buffer(engine, buffer.clone(), 0, dtype, shape, None).unwrap();
    Own { buffer, tensor }
}

/// The bytes of a host tensor.
pub fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    fn all<T: wgloss::Element>(tensor: &Tensor) -> Option<Vec<u8>> {
        tensor.as_slice::<T>().map(|own| bytemuck::cast_slice(own).to_vec())
    }
    all::<f32>(tensor)
        .or_else(|| all::<half::f16>(tensor))
        .or_else(|| all::<half::bf16>(tensor))
        .or_else(|| all::<u8>(tensor))
        .or_else(|| all::<i32>(tensor))
        .or_else(|| all::<u32>(tensor))
        .or_else(|| all::<i64>(tensor))
        .unwrap()
}

impl Own {
    pub fn put(&self, engine: &Engine, from: &Tensor) {
        let mut bytes = bytes_of(from);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        engine.wgpu().unwrap().1.write_buffer(&self.buffer, 0, &bytes);
    }
}

/// All of a result, also where it is an error that carries it, and a gradient that went to a place of the caller's.
pub fn values(output: &Output, engine: &Engine) -> Values {
    match output.clone().include_placed().read(engine) {
        Ok(values) => values,
        Err(Error::BadLabels { values, .. } | Error::BadValues { values, .. }) => *values,
        Err(error) => panic!("{error}"),
    }
}

#[derive(Debug)]
struct Elsewhere(Vec<u8>);

impl Pages for Elsewhere {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(&self.0[offset as usize..][..out.len()]);
        Ok(())
    }
}

/// A host tensor somewhere else.
pub fn paged(tensor: &Tensor) -> Tensor {
    let pages = Arc::new(Elsewhere(bytes_of(tensor)));
    Tensor::from_pages(pages, tensor.dtype(), tensor.shape()).unwrap()
}
