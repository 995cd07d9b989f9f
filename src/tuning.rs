//! How the work is cut: a table of values for each class of adapters.

use crate::limits::Limits;

/// How the work is cut for a class of adapters. The widths decide the order of sums, hence the bits of a result; the
/// [`Limits`] never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Invocations of a workgroup that folds a long row.
    pub row_width: u32,
    /// Contiguous rows of up to this many classes get one lane each.
    pub lane_cols: u64,
    /// Rows that a lane takes one after the other, where there are many.
    pub lane_rows: u32,
    /// Invocations of a workgroup that gives each row one lane, and of the elementwise and reduce drivers.
    pub width: u32,
    /// Elements of a tile of the elementwise and reduce drivers.
    pub tile: u32,
    /// Contiguous rows of more classes are wide: several workgroups fold one.
    pub wide_cols: u64,
    /// Columns of a tile of a wide row, a multiple of 4.
    pub wide_tile: u64,
}

impl Tuning {
    /// Processors like small workgroups with long loops: a barrier there is a switch of stacks.
    pub const SOFTWARE: Self = Self {
        row_width: 8,
        lane_cols: 64,
        lane_rows: 16,
        width: 8,
        tile: 8192,
        wide_cols: 131_072,
        wide_tile: 65_536,
    };
    pub const HARDWARE: Self = Self {
        row_width: 256,
        lane_cols: 32,
        lane_rows: 1,
        width: 256,
        tile: 16_384,
        wide_cols: 131_072,
        wide_tile: 65_536,
    };

    /// The widths, powers of two as the trees need them, brought down to what a device allows.
    #[must_use]
    pub fn within(mut self, limits: &Limits) -> Self {
        let widest = 1 << limits.max_width.max(1).ilog2();
        self.row_width = self.row_width.min(widest);
        self.width = self.width.min(widest);
        self
    }

    pub fn of(device: wgpu::DeviceType) -> Self {
        match device {
            wgpu::DeviceType::Cpu => Self::SOFTWARE,
            _ => Self::HARDWARE,
        }
    }
}
