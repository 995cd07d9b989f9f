//! The handwritten digits of `examples/data`, and batches of them on the device.

use std::path::Path;

use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use wgloss::{Dtype, Element, Result, Tensor};
use wgloss_shell::{Failure, files, numbers};

use super::Done;
use super::gpu::{Gpu, Kernel, record};

const COUNT: usize = 1797;
/// The last ones, by other writers than the first, are for tests.
pub const TEST: usize = 360;
pub const TRAIN: usize = COUNT - TEST;
/// Channels, height and width.
pub const IMAGE: [usize; 3] = [1, 8, 8];
const PIXELS: usize = 64;
pub const CLASSES: usize = 10;

/// Images from 0 to 1 with their classes.
pub struct Digits {
    images: Vec<f32>,
    labels: Vec<u32>,
}

/// The numbers of a file that has to be of this dtype and shape.
fn read<T: Element>(folder: &Path, name: &str, dtype: numbers::Dtype, shape: &[usize]) -> Done<Vec<T>> {
    let path = folder.join(name);
    let wants = format!("expected {} of {shape:?}", dtype.name());
    let file = files::open(path.as_os_str()).map_err(|why| Failure::Failed(format!("{why}; {wants}")))?;
    if file.stored() != dtype || file.shape() != shape {
        let is = format!("is {} of {:?}", file.stored_name(), file.shape());
        return Err(Failure::Failed(format!("{}: {is}, {wants}", path.display())));
    }
    let tensor = file.read_whole().map_err(Failure::Failed)?;
    Ok(tensor.as_slice::<T>().map(<[T]>::to_vec).unwrap_or_default())
}

/// Refuses a file with a number that no digit has.
fn expect_all<T: Copy + Into<i64>>(folder: &Path, name: &str, numbers: &[T], most: i64) -> Done {
    let bad = numbers.iter().position(|&own| !(0..=most).contains(&own.into()));
    bad.map_or(Ok(()), |at| {
        let found: i64 = numbers[at].into();
        let place = folder.join(name);
        let message = format!("{}: holds {found} at {at}, expected 0 to {most}", place.display());
        Err(Failure::Failed(message))
    })
}

impl Digits {
    /// # Errors
    /// A file that is not there or is not what it should be, by its name.
    pub fn read(folder: &Path) -> Done<Self> {
        let (images_name, labels_name) = ("digits_images.npy", "digits_labels.npy");
        let images = read::<u8>(folder, images_name, numbers::Dtype::U8, &[COUNT, PIXELS])?;
        let labels = read::<i64>(folder, labels_name, numbers::Dtype::I64, &[COUNT])?;
        expect_all(folder, images_name, &images, 16)?;
        expect_all(folder, labels_name, &labels, CLASSES as i64 - 1)?;
        Ok(Self {
            images: images.iter().map(|&own| f32::from(own) / 16.0).collect(),
            labels: labels.iter().map(|&own| own as u32).collect(),
        })
    }

    /// The images and labels of a test, on the device.
    pub fn test(&self, gpu: Gpu<'_>) -> Result<(Tensor, Tensor)> {
        let images = gpu.floats(&[TEST, PIXELS], &self.images[TRAIN * PIXELS..])?;
        Ok((images, gpu.tensor(Dtype::U32, &[TEST], &self.labels[TRAIN..])?))
    }
}

/// Batches of the digits for training, gathered on the device from all of them, in an order that is there from the
/// start.
pub struct Batches {
    pub images: Tensor,
    pub labels: Tensor,
    /// Batches of an epoch. What is left of the digits takes no part in it.
    pub per_epoch: usize,
    /// The rows of all batches, and those of the next.
    order: Tensor,
    drawn: Tensor,
    gather: Kernel,
}

impl Batches {
    /// Batches of `rows` digits, in another order in each epoch.
    pub fn new(gpu: Gpu<'_>, digits: &Digits, rows: usize, epochs: usize, random: &mut Pcg64Mcg) -> Result<Self> {
        let per_epoch = TRAIN / rows;
        let mut order = Vec::new();
        for _ in 0..epochs {
            let mut all: Vec<u32> = (0..TRAIN as u32).collect();
            all.shuffle(random);
            order.extend_from_slice(&all[..per_epoch * rows]);
        }
        let order = gpu.tensor(Dtype::U32, &[order.len()], &order)?;
        let drawn = gpu.tensor(Dtype::U32, &[rows], &vec![0u32; rows])?;
        let all_images = gpu.floats(&[TRAIN, PIXELS], &digits.images[..TRAIN * PIXELS])?;
        let all_labels = gpu.tensor(Dtype::U32, &[TRAIN], &digits.labels[..TRAIN])?;
        let images = gpu.zeros(&[rows, PIXELS])?;
        let labels = gpu.tensor(Dtype::U32, &[rows], &vec![0u32; rows])?;
        let module = gpu.module(&[("inputs", PIXELS)], include_str!("batch.wgsl"));
        let tensors = [
            (0, &all_images),
            (1, &all_labels),
            (2, &drawn),
            (3, &labels),
            (4, &images),
        ];
        let gather = gpu.kernel(&gpu.pipeline(&module, "gather"), &tensors);
        Ok(Self {
            images,
            labels,
            per_epoch,
            order,
            drawn,
            gather,
        })
    }

    /// Records how the batch of a step is brought together.
    pub fn gather(&self, encoder: &mut wgpu::CommandEncoder, step: usize) {
        let bytes = self.drawn.view().len() * 4;
        let (from, to) = (&self.order.buffers()[0], &self.drawn.buffers()[0]);
        encoder.copy_buffer_to_buffer(from, step as u64 * bytes, to, 0, bytes);
        record(encoder, [&self.gather]);
    }
}
