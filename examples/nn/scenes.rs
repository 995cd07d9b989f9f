//! Scenes with masks as those of PASCAL VOC: 21 classes, each in the colour that VOC's masks have for it, with noise
//! over them, and between things a void border of no class.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use wgloss::{Result, Tensor};

use super::gpu::Gpu;

pub const NAMES: [&str; 21] = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
];
pub const CLASSES: usize = NAMES.len();
/// The class of borders.
pub const VOID: u8 = 255;
/// Height and width.
pub const SIZE: usize = 40;
const PIXELS: usize = SIZE * SIZE;
const COUNT: usize = 4;
/// Things in a scene: two scenes have all classes.
const THINGS: usize = (CLASSES - 1) / 2;
/// Places for them, so that none hides another.
const COLUMNS: usize = 4;
const LINES: usize = 3;

/// Scenes of (`COUNT`, 3, `SIZE`, `SIZE`), colours from 0 to 1, with masks of (`COUNT`, `SIZE`, `SIZE`).
pub struct Scenes {
    pub images: Vec<f32>,
    pub masks: Vec<u8>,
}

impl Scenes {
    pub fn new(random: &mut Pcg64Mcg) -> Self {
        let (mut images, mut masks) = (Vec::new(), Vec::new());
        for nth in 0..COUNT {
            let mut mask = vec![0; PIXELS];
            let mut places: Vec<usize> = (0..COLUMNS * LINES).collect();
            places.shuffle(random);
            for (thing, place) in places.into_iter().take(THINGS).enumerate() {
                let class = 1 + (nth * THINGS + thing) % (CLASSES - 1);
                paint(&mut mask, class as u8, place, random);
            }
            for channel in 0..3 {
                let color = |&class: &u8| f32::from(if class == VOID { 96 } else { color(class)[channel] }) / 255.0;
                images.extend(mask.iter().map(|class| color(class) + random.random_range(-0.1..0.1)));
            }
            masks.extend(mask);
        }
        Self { images, masks }
    }

    pub fn upload(&self, gpu: Gpu<'_>) -> Result<(Tensor, Tensor)> {
        // Around 0, and about as far from it as a normal distribution: networks learn faster of that.
        let images: Vec<_> = self.images.iter().map(|own| (own - 0.4) / 0.25).collect();
        let images = gpu.floats(&[COUNT, 3, SIZE, SIZE], &images)?;
        let masks = Tensor::new(&self.masks, &[COUNT, SIZE, SIZE])?;
        Ok((images, gpu.engine.upload(&masks)?))
    }

    /// The colours of the first scene.
    pub fn colors(&self) -> Vec<[u8; 3]> {
        let at = |pixel: usize| [0, 1, 2].map(|channel| (255.0 * self.images[channel * PIXELS + pixel]) as u8);
        (0..PIXELS).map(at).collect()
    }
}

/// A disc or a square about a place, with its border.
fn paint(mask: &mut [u8], class: u8, place: usize, random: &mut Pcg64Mcg) {
    let mut between = |least, most| random.random_range(least..most);
    let middle = |at: usize, of: usize| (at as f32 + 0.5) * SIZE as f32 / of as f32;
    let x = middle(place % COLUMNS, COLUMNS) + between(-2.0, 2.0);
    let y = middle(place / COLUMNS, LINES) + between(-2.0, 2.0);
    let radius = between(3.0, 6.0);
    let is_disc = between(0.0, 1.0) < 0.5;
    for (at, own) in mask.iter_mut().enumerate() {
        let (dx, dy) = ((at % SIZE) as f32 - x, (at / SIZE) as f32 - y);
        let far = if is_disc { dx.hypot(dy) } else { dx.abs().max(dy.abs()) };
        if far <= radius + 1.0 {
            *own = if far <= radius { class } else { VOID };
        }
    }
}

/// VOC's: the bits of the class in turn are the high bits of red, green and blue.
fn color(class: u8) -> [u8; 3] {
    let mut color = [0; 3];
    for bit in 0..8 {
        color[bit % 3] |= (class >> bit & 1) << (7 - bit / 3);
    }
    color
}

/// The colours of the first mask, borders in white.
pub fn palette(masks: &[u8]) -> Vec<[u8; 3]> {
    let of = |&class: &u8| if class == VOID { [255; 3] } else { color(class) };
    masks.iter().take(PIXELS).map(of).collect()
}
