//! The anchors of RetinaNet (Lin et al. 2017) over an image, and which things they are to find.

use std::collections::BTreeSet;

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// Height and width of an image.
const IMAGE: f32 = 256.0;
/// Of the levels P3 to P7: anchors stand so many pixels apart, and are four times as large.
const STRIDES: [usize; 5] = [8, 16, 32, 64, 128];
const RATIOS: [f32; 3] = [0.5, 1.0, 2.0];
pub const CLASSES: usize = 20;
const THINGS: usize = 24;
/// Numbers that stand for what a backbone tells of an anchor.
pub const FEATURES: usize = 32;

/// Left, top, right and bottom.
type Box4 = [f32; 4];

/// What a class looks like, in features.
pub struct Looks(Vec<[f32; FEATURES]>);

impl Looks {
    pub fn new(random: &mut Pcg64Mcg) -> Self {
        let mut look = || std::array::from_fn(|_| random.random_range(-1.0..1.0));
        Self((0..CLASSES).map(|_| look()).collect())
    }
}

/// The anchors of an image with their features and targets. Those that meet a thing by half are to find it; those that
/// meet one by 0.4 to 0.5 are neither right nor wrong, and are left out.
pub struct Anchors {
    pub features: Vec<f32>,
    /// (anchors, `CLASSES`), 1 where an anchor is to find a class.
    pub targets: Vec<f32>,
    /// The thing that each is to find, by its number.
    things: Vec<Option<usize>>,
}

impl Anchors {
    pub fn new(looks: &Looks, random: &mut Pcg64Mcg) -> Self {
        let things: Vec<_> = (0..THINGS).map(|nth| (nth % CLASSES, thing(random))).collect();
        let (mut features, mut targets, mut to_find) = (Vec::new(), Vec::new(), Vec::new());
        for anchor in boxes() {
            let mut most = (0.0, 0);
            let mut own: [f32; FEATURES] = std::array::from_fn(|_| random.random_range(-0.05..0.05));
            for (nth, (class, thing)) in things.iter().enumerate() {
                let share = overlap(anchor, *thing);
                if share > most.0 {
                    most = (share, nth);
                }
                own.iter_mut()
                    .zip(&looks.0[*class])
                    .for_each(|(own, look)| *own += share * look);
            }
            if (0.4..0.5).contains(&most.0) {
                continue;
            }
            features.extend(own);
            let to_be_found = (most.0 >= 0.5).then_some(most.1);
            let class = to_be_found.map(|nth| things[nth].0);
            targets.extend((0..CLASSES).map(|own| f32::from(class == Some(own))));
            to_find.push(to_be_found);
        }
        Self {
            features,
            targets,
            things: to_find,
        }
    }

    pub fn count(&self) -> usize {
        self.targets.len() / CLASSES
    }

    /// How many are to find something.
    pub fn positive(&self) -> usize {
        self.things.iter().flatten().count()
    }

    /// How many things some anchor is to find, how many of these one does, and how many anchors find a class that is
    /// not there. A class is found where its probability is above a half: the logit above 0.
    pub fn judge(&self, logits: &[f32]) -> [usize; 3] {
        let [mut things, mut found] = [BTreeSet::<usize>::new(), BTreeSet::new()];
        let mut wrong = 0;
        let rows = self.targets.chunks(CLASSES).zip(logits.chunks(CLASSES));
        for (thing, (targets, logits)) in self.things.iter().zip(rows) {
            let any = |wanted| {
                targets
                    .iter()
                    .zip(logits)
                    .any(|(target, logit)| *target == wanted && *logit > 0.0)
            };
            things.extend(thing);
            found.extend(thing.filter(|_| any(1.0)));
            wrong += usize::from(any(0.0));
        }
        [things.len(), found.len(), wrong]
    }
}

fn thing(random: &mut Pcg64Mcg) -> Box4 {
    let [width, height] = [0; 2].map(|_| random.random_range(24.0..120.0));
    let (x, y) = (
        random.random_range(0.0..IMAGE - width),
        random.random_range(0.0..IMAGE - height),
    );
    [x, y, x + width, y + height]
}

/// Nine at each place of each level: three sizes, a third of an octave apart, in three ratios.
fn boxes() -> impl Iterator<Item = Box4> {
    STRIDES.into_iter().flat_map(|stride| {
        let count = IMAGE as usize / stride;
        (0..count * count * 9).map(move |nth| {
            let (place, size, ratio) = (nth / 9, nth % 9 / 3, RATIOS[nth % 3]);
            let middle = |at: usize| (at as f32 + 0.5) * stride as f32;
            let (x, y) = (middle(place % count), middle(place / count));
            let side = 4.0 * stride as f32 * 2f32.powf(size as f32 / 3.0);
            let (width, height) = (side / ratio.sqrt() / 2.0, side * ratio.sqrt() / 2.0);
            [x - width, y - height, x + width, y + height]
        })
    })
}

/// Intersection over union.
fn overlap(a: Box4, b: Box4) -> f32 {
    let area = |own: Box4| (own[2] - own[0]).max(0.0) * (own[3] - own[1]).max(0.0);
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    both / (area(a) + area(b) - both)
}
