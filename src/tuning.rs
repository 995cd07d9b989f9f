//! How the work is cut: a table of values for each class of adapters, and the check that any values pass.

use crate::error::{Error, Result};
use crate::limits::{Limits, MAX_ITERATIONS};

/// Quads that a lane holds at most, four registers each: 64, and as many beside them, are what NVIDIA's GPUs have for
/// each of 512 lanes. Their loops are written out.
pub const MAX_HELD: u32 = 16;

/// Elements of a lane in the smallest tile: 16 quads, which the drivers' loops take together.
pub(crate) const LEAF: u32 = 64;

/// Contiguous rows of one lane have no more: the loops of longer ones, and eight of them in a tile, would be long.
pub(crate) const MAX_LANE_COLS: u64 = 65_536;

/// Rows that a lane has in packs at most: four packs of four.
pub(crate) const MAX_PACK: u32 = 16;

/// Invocations of a workgroup of elements or of rows that have one lane each, and those that WebGPU allows by default.
pub(crate) const MAX_WIDTH: u32 = 256;

/// Invocations of a workgroup that folds a long row: wider ones would not hold their states in 16 KiB of workgroup
/// memory, WebGPU's default, of which two lanes share a cell.
pub(crate) const MAX_ROW_WIDTH: u32 = 1024;

/// States that one workgroup of a second level joins, where there are [`Tuning::workgroups`] to be had.
pub(crate) const MAX_STATES: u32 = 1024;

/// How the work is cut for a class of adapters. The widths decide the order of sums, hence the bits of a result; the
/// [`Limits`] never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Invocations of a workgroup that folds a long row, at most: shorter ones get as many as hold them in registers
    /// ([`held`](Self::held)), from 256 on.
    pub row_width: u32,
    /// Invocations that fold a row of middling length, of which such a workgroup then has several: a subgroup of the
    /// class, for these merge their states without a barrier. Of more lanes, so many merge first.
    pub subgroup: u32,
    /// Contiguous rows of up to this many classes get a subgroup each, where they are enough for 64 workgroups.
    pub subgroup_cols: u64,
    /// Contiguous rows of up to this many classes get one lane each, where there are enough of them to fill the
    /// adapter; those of up to 32 do however few they are.
    pub lane_cols: u64,
    /// Rows that a lane takes one after the other, where there are very many; down to 16 where there are many, else
    /// one.
    pub lane_rows: u32,
    /// How many rows of up to 32 classes a lane holds in its registers at once: a power of two up to 16. Asked only
    /// where [`lane_rows`](Self::lane_rows) gives a lane several rows. One, two or four rows are a pack, such that the
    /// pack is whole quads of memory; rows that would not be are held one by one. A number above four puts packs side
    /// by side, in calls for the gradient of rows whose classes are not innermost. A `pack` of four or more also makes
    /// strips, where `lane_rows` is 16 or more: many rows of class targets whose classes are more than 32 and not
    /// innermost go side by side, four columns at a time.
    pub pack: u32,
    /// Quads of a row that a lane keeps in its registers from the fold to the gradient, at most, a multiple of 4: the
    /// row is read once. Rows that would take more are read twice. The order of additions does not hang on it, but how
    /// many lanes a row gets does. Asked only where [`block_tails`](Self::block_tails) says so.
    pub held: u32,
    /// 1: what is behind the last whole block of a row's columns is a block, too, whose missing columns count nothing,
    /// and a block is read before the one in front of it is folded. 0: quads by themselves, each read when it is
    /// folded.
    pub block_tails: u32,
    /// Workgroups that a dispatch has at least, or one for every 32 KiB that it has to move: few rows of many columns
    /// and few elements go into smaller tiles for it. With 0, tiles are never made smaller.
    pub workgroups: u32,
    /// Invocations of a workgroup that gives each row one lane, and of the elementwise and reduce drivers.
    pub width: u32,
    /// Elements of a tile of the elementwise and reduce drivers, and the most that the rows of a workgroup of one lane
    /// each have, where they are contiguous and a lane takes several.
    pub tile: u32,
    /// Contiguous rows of more classes are wide: several workgroups fold one.
    pub wide_cols: u64,
    /// Columns of a tile of a wide row, a multiple of 4: fewer for [`workgroups`](Self::workgroups), or more where a
    /// row would have more tiles than one workgroup joins.
    pub wide_tile: u64,
}

/// What adapters have in common that share their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// GPUs with memory of their own, and those that a virtual machine passes on.
    Discrete,
    /// GPUs that share the processor's memory, and what says of itself to be neither.
    Integrated,
    /// The processor, in vectors of 8 lanes or more: Mesa's llvmpipe.
    Software8,
    /// The processor, in vectors of 4 lanes: SwiftShader, WARP.
    Software4,
}

/// The values of each class, with what chose them in `benches/notes/2026-11-21-tuning.md`. Classes share what nobody
/// has measured apart.
pub const TABLE: [(Class, Tuning); 4] = [
    (Class::Discrete, Tuning::HARDWARE),
    (Class::Integrated, Tuning::HARDWARE),
    (Class::Software8, Tuning::SOFTWARE),
    (Class::Software4, Tuning::SOFTWARE_4),
];

impl Class {
    pub fn of(info: &wgpu::AdapterInfo) -> Self {
        match info.device_type {
            wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => Self::Discrete,
            wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Other => Self::Integrated,
            // The least size: who does not know says "4 to 128".
            wgpu::DeviceType::Cpu if info.subgroup_min_size >= 8 => Self::Software8,
            wgpu::DeviceType::Cpu => Self::Software4,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Software8 => "software, subgroups of 8",
            Self::Software4 => "software, subgroups of 4",
        }
    }

    /// Its line of the table.
    pub fn tuning(self) -> Tuning {
        let line = TABLE.iter().find(|(class, _)| *class == self);
        line.map_or(Tuning::HARDWARE, |(_, tuning)| *tuning)
    }
}

/// One of the values of a [`Tuning`], by its name.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub get: fn(&Tuning) -> u64,
    /// A number beyond the field's type becomes the largest of that type, which [`Tuning::check`] refuses.
    pub set: fn(&mut Tuning, u64),
}

macro_rules! field {
    ($name:ident) => {
        Field {
            name: stringify!($name),
            get: |tuning| tuning.$name.into(),
            set: |tuning, value| tuning.$name = value.try_into().unwrap_or(!0),
        }
    };
}

impl Tuning {
    /// Processors like small workgroups with long loops: a barrier there is a switch of stacks.
    pub const SOFTWARE: Self = Self {
        row_width: 8,
        subgroup: 8,
        subgroup_cols: 131_072,
        lane_cols: 4096,
        lane_rows: 64,
        pack: 16,
        held: 0,
        block_tails: 0,
        workgroups: 0,
        width: 8,
        tile: 8192,
        wide_cols: 131_072,
        wide_tile: 65_536,
    };
    /// Subgroups of 4, and a compiler that takes long for large packs.
    pub const SOFTWARE_4: Self = Self {
        row_width: 4,
        subgroup: 4,
        width: 4,
        pack: 2,
        ..Self::SOFTWARE
    };
    pub const HARDWARE: Self = Self {
        row_width: 512,
        subgroup: 32,
        subgroup_cols: 1024,
        lane_cols: 32,
        lane_rows: 1,
        pack: 4,
        held: 16,
        block_tails: 1,
        workgroups: 512,
        width: 256,
        tile: 16_384,
        wide_cols: 131_072,
        wide_tile: 8192,
    };

    /// All values, in the order in which `wgloss tune` goes through them: a tile has to suit its width.
    pub const FIELDS: [Field; 13] = [
        field!(width),
        field!(tile),
        field!(row_width),
        field!(subgroup),
        field!(subgroup_cols),
        field!(lane_cols),
        field!(lane_rows),
        field!(pack),
        field!(held),
        field!(block_tails),
        field!(workgroups),
        field!(wide_tile),
        field!(wide_cols),
    ];

    /// The widths, powers of two as the trees need them, brought down to what a device allows.
    #[must_use]
    pub fn within(mut self, limits: &Limits) -> Self {
        let widest = 1 << limits.max_width.max(1).ilog2();
        self.row_width = self.row_width.min(widest);
        self.subgroup = self.subgroup.min(self.row_width);
        self.width = self.width.min(widest);
        self
    }

    /// The values of an adapter's class.
    pub fn of(info: &wgpu::AdapterInfo) -> Self {
        Class::of(info).tuning()
    }

    /// Whether the drivers work with these values.
    ///
    /// # Errors
    /// [`Error::Option`] with the field's name.
    pub fn check(&self) -> Result<()> {
        // By name, so that a field more is not forgotten.
        let &Self {
            row_width,
            subgroup,
            subgroup_cols,
            lane_cols,
            lane_rows,
            pack,
            held,
            block_tails,
            workgroups,
            width,
            tile,
            wide_cols,
            wide_tile,
        } = self;
        for (name, value, most) in [
            ("row_width", row_width, MAX_ROW_WIDTH),
            ("subgroup", subgroup, MAX_WIDTH),
            ("width", width, MAX_WIDTH),
        ] {
            let expected = format!("a power of two from 1 to {most}");
            require(name, value.into(), value.is_power_of_two() && value <= most, expected)?;
        }
        let expected = format!("a number up to {MAX_LANE_COLS}");
        require("lane_cols", lane_cols, lane_cols <= MAX_LANE_COLS, expected)?;
        let expected = format!("a number from 1 to {MAX_ITERATIONS}");
        let fits = (1..=MAX_ITERATIONS).contains(&lane_rows.into());
        require("lane_rows", lane_rows.into(), fits, expected)?;
        let expected = format!("a power of two from 1 to {MAX_PACK}");
        let fits = pack.is_power_of_two() && pack <= MAX_PACK;
        require("pack", pack.into(), fits, expected)?;
        let expected = format!("a multiple of 4 up to {MAX_HELD}");
        let fits = held.is_multiple_of(4) && held <= MAX_HELD;
        require("held", held.into(), fits, expected)?;
        require("block_tails", block_tails.into(), block_tails <= 1, "0 or 1".into())?;
        let expected = format!("a number up to {MAX_STATES}");
        require("workgroups", workgroups.into(), workgroups <= MAX_STATES, expected)?;
        let least = LEAF * width;
        let expected = format!(
            "a power of two from {least} on, {LEAF} for each of the {width} invocations of width, and fewer than \
             {MAX_ITERATIONS} loop iterations of each"
        );
        let fits = tile.is_power_of_two() && tile >= least && tile_iterations(tile.into(), width) < MAX_ITERATIONS;
        require("tile", tile.into(), fits, expected)?;
        let row = |cols: u64, lanes: u32| cols < 1 << 32 && row_iterations(cols, lanes, 0) < MAX_ITERATIONS;
        let expected = "a number below 2^32".to_string();
        require("subgroup_cols", subgroup_cols, subgroup_cols < 1 << 32, expected)?;
        let expected = format!("at most what {MAX_WIDTH} lanes fold in fewer than {MAX_ITERATIONS} loop iterations");
        require("wide_cols", wide_cols, row(wide_cols, MAX_WIDTH), expected)?;
        let lanes = row_width.min(MAX_WIDTH);
        let expected = format!(
            "a multiple of 4 above 0, and at most what {lanes} lanes, row_width or {MAX_WIDTH} where that is more, fold \
             in fewer than {MAX_ITERATIONS} loop iterations"
        );
        let fits = wide_tile > 0 && wide_tile.is_multiple_of(4) && row(wide_tile, lanes);
        require("wide_tile", wide_tile, fits, expected)
    }
}

/// Items of a tile that grows with their number, at most: a part of a call is a few of them.
const MAX_GROWN: u64 = 1 << 18;

/// Bytes that each dispatch of a large call on a GPU with memory of its own has at least: half of what is one too many
/// for one.
const PART: u64 = 1 << 29;

/// Bytes that are worth a workgroup.
const WORTH: u64 = 32 << 10;

impl Tuning {
    /// The workgroups that a dispatch over so many bytes, which it cannot avoid to move, has at least.
    pub(crate) fn workgroups_of(&self, bytes: u64) -> u64 {
        u64::from(self.workgroups).min(bytes / WORTH)
    }

    /// Items of a tile, of so many, each of so many bytes: [`tile`](Self::tile), or fewer so that workgroups are
    /// enough.
    pub(crate) fn small_tile(&self, len: u64, bytes: u64) -> u64 {
        let mut tile = u64::from(self.tile);
        while tile > u64::from(4 * self.width) && len.div_ceil(tile) < self.workgroups_of(len.saturating_mul(bytes)) {
            tile /= 2;
        }
        tile
    }

    /// The same of tiles that come to a state each: or more, so that one workgroup joins them all, if dispatches of
    /// [`PART`] bytes still have workgroups enough.
    pub(crate) fn tile_of(&self, len: u64, bytes: u64) -> u64 {
        let mut tile = self.small_tile(len, bytes);
        let are_enough = |tile: u64| tile * bytes * u64::from(self.workgroups) <= PART;
        while self.workgroups > 0
            && tile < MAX_GROWN
            && len.div_ceil(tile) > u64::from(MAX_STATES)
            && are_enough(2 * tile)
        {
            tile *= 2;
        }
        tile
    }

    /// States that a workgroup of a later level joins.
    pub(crate) fn states_tile(&self) -> u64 {
        match self.workgroups {
            0 => self.tile.into(),
            _ => u64::from(MAX_STATES.max(4 * self.width)),
        }
    }
}

/// Loop iterations of one invocation of the reduce driver: quads of a lane, the elements of a quad where a monoid takes
/// them singly, the runs of four, and the tree.
pub(crate) fn tile_iterations(tile: u64, width: u32) -> u64 {
    let quads = tile / u64::from(4 * width);
    quads * 5 + runs_of_four(quads) + 16
}

/// Iterations of the three loops around those over the quads of a lane: runs of 4, 16 and 64 of them.
pub(crate) fn runs_of_four(quads: u64) -> u64 {
    quads / 4 + quads / 16 + quads.div_ceil(64)
}

/// Those of one invocation of a row over so many lanes: two passes of blocks of four quads, the first in runs of 16
/// blocks, up to five quads behind each, what the loss loops itself for each quad, the tree.
pub(crate) fn row_iterations(cols: u64, lanes: u32, inner_loops: u64) -> u64 {
    let blocks = cols / (16 * u64::from(lanes)) + 5;
    // A software adapter counts loops in branches it does not take: four quads of a block and one behind, each pass.
    2 * blocks + blocks / 16 + 2 * 6 * blocks * inner_loops + 16
}

fn require(name: &'static str, value: u64, fits: bool, expected: String) -> Result<()> {
    match fits {
        true => Ok(()),
        false => Err(Error::option(name, format!("{value} given, expected {expected}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(device: wgpu::DeviceType, (least, most): (u32, u32)) -> wgpu::AdapterInfo {
        wgpu::AdapterInfo {
            subgroup_min_size: least,
            subgroup_max_size: most,
            ..wgpu::AdapterInfo::new(device, wgpu::Backend::Vulkan)
        }
    }

    #[test]
    fn every_adapter_has_a_class() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
        for (device, subgroups, class) in [
            (DiscreteGpu, (32, 32), Class::Discrete),
            (VirtualGpu, (32, 64), Class::Discrete),
            (IntegratedGpu, (8, 32), Class::Integrated),
            (Other, (4, 128), Class::Integrated),
            (Cpu, (8, 8), Class::Software8),
            (Cpu, (16, 16), Class::Software8),
            (Cpu, (4, 4), Class::Software4),
            (Cpu, (4, 128), Class::Software4),
        ] {
            let info = adapter(device, subgroups);
            assert_eq!(Class::of(&info), class, "{device:?} {subgroups:?}");
            assert_eq!(Tuning::of(&info), class.tuning());
        }
        // The bits of results hang on these.
        assert_eq!(Tuning::of(&adapter(Cpu, (8, 8))), Tuning::SOFTWARE);
        assert_eq!(Tuning::of(&adapter(DiscreteGpu, (32, 32))), Tuning::HARDWARE);
    }

    #[test]
    fn the_table_has_each_class_once_and_is_valid() {
        for class in [Class::Discrete, Class::Integrated, Class::Software8, Class::Software4] {
            assert_eq!(TABLE.iter().filter(|(own, _)| *own == class).count(), 1, "{class:?}");
            class.tuning().check().unwrap();
        }
    }

    #[test]
    fn a_wrong_value_is_named() {
        let wrong = [
            ("width", &[0, 12, 512][..]),
            ("row_width", &[0, 3, 2048, u64::MAX]),
            ("subgroup", &[0, 3, 512, u64::MAX]),
            ("subgroup_cols", &[1 << 32, u64::MAX]),
            ("lane_cols", &[MAX_LANE_COLS + 1, u64::MAX]),
            ("lane_rows", &[0, 40_000, u64::MAX]),
            ("pack", &[0, 3, 32, u64::MAX]),
            ("held", &[3, MAX_HELD as u64 + 4, u64::MAX]),
            ("block_tails", &[2, u64::MAX]),
            ("workgroups", &[1025, u64::MAX]),
            ("tile", &[0, 256, 8000, 12_288, 1 << 31, u64::MAX]),
            ("wide_cols", &[1 << 28, 1 << 40, u64::MAX]),
            ("wide_tile", &[0, 2, 65_538, 1 << 24, u64::MAX]),
        ];
        assert_eq!(wrong.len(), Tuning::FIELDS.len());
        for (name, values) in wrong {
            let field = Tuning::FIELDS.into_iter().find(|field| field.name == name).unwrap();
            for &value in values {
                let mut tuning = Tuning::SOFTWARE;
                (field.set)(&mut tuning, value);
                let error = tuning.check().unwrap_err().to_string();
                let given = (field.get)(&tuning);
                assert!(
                    error.starts_with(&format!("{name}: {given} given, expected ")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_field_is_read_where_it_was_written() {
        let all = format!("{:?}", Tuning::SOFTWARE).matches(": ").count();
        assert_eq!(Tuning::FIELDS.len(), all, "a field is missing");
        for field in Tuning::FIELDS {
            let mut tuning = Tuning::SOFTWARE;
            (field.set)(&mut tuning, 2);
            assert_eq!((field.get)(&tuning), 2, "{}", field.name);
            let changed = Tuning::FIELDS
                .iter()
                .filter(|own| (own.get)(&tuning) != (own.get)(&Tuning::SOFTWARE));
            assert_eq!(changed.count(), 1, "{}", field.name);
        }
    }
}
