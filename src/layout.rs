//! Binding slots and uniform structs: the one owner of the layout that shaders and plans share. A test compares every
//! struct with what naga reads from the shaders, field by field.
//!
//! Not promised by semver.

use bytemuck::{Pod, Zeroable};

use crate::words::Role;

/// The `@binding` numbers of group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Slot {
    Params = 0,
    Input = 1,
    Target = 2,
    Weight = 3,
    Third = 4,
    GradOutput = 5,
    /// Losses per row or element, or the states of tiles.
    Loss = 6,
    GradInput = 7,
    GradTarget = 8,
    Control = 9,
    StatesIn = 10,
    Result = 11,
    GradThird = 12,
    Second = 13,
    GradSecond = 14,
    SampleWeight = 15,
    /// Of an optimizer: the parameter, its gradient and up to three tensors of state.
    Param = 16,
    Grad = 17,
    Moment = 18,
    Square = 19,
    Peak = 20,
    /// Of wide rows: each as it was opened, and what its tiles came to.
    Rows = 21,
    Merged = 22,
    /// What the tiles of the elementwise driver found of values that break a rule.
    Faults = 23,
    /// What the tiles of the row driver counted of class targets.
    Counts = 24,
    /// Of an optimizer: what its gradients go through, and the steps that were taken.
    Gate = 25,
    Count = 26,
    /// Upstream gradients of rows' statistics.
    GradLse = 27,
    GradEntropy = 28,
    /// Of a product: its operands, and what it comes to.
    Left = 29,
    Right = 30,
    Product = 31,
    /// What is added to each column of a product.
    Bias = 32,
    /// Rows in the order of those that take part.
    Order = 33,
    /// What the tiles of rows counted for that.
    Taking = 34,
    /// Which runs of a gradient are not 0.
    Filter = 35,
}

impl Slot {
    /// Where the gradient of an operand goes.
    pub fn grad(self) -> Self {
        match self {
            Self::Target => Self::GradTarget,
            Self::Second => Self::GradSecond,
            Self::Third => Self::GradThird,
            _ => Self::GradInput,
        }
    }

    /// What a shader that writes over an operand puts there: its gradient; of an optimizer's tensors and of a product,
    /// themselves anew.
    pub fn over(self) -> Self {
        match self {
            Self::Product => self,
            _ if self.is_renewed() => self,
            _ => self.grad(),
        }
    }

    /// An optimizer's tensors, which a step reads and writes anew.
    pub fn is_renewed(self) -> bool {
        matches!(self, Self::Param | Self::Moment | Self::Square | Self::Peak)
    }

    /// An operand of the product that rows of logits are.
    pub fn is_of_product(self) -> bool {
        matches!(self, Self::Left | Self::Right | Self::Bias)
    }

    /// The operand's name in the shaders; `target` is a reserved word there.
    pub fn name(self) -> &'static str {
        match self {
            Self::Params => "uniforms",
            Self::Input => "input",
            Self::Target => "targets",
            Self::Weight => "weight",
            Self::Third => "third",
            Self::GradOutput => "grad_output",
            Self::Loss => "loss_out",
            Self::GradInput => "grad_input",
            Self::GradTarget => "grad_targets",
            Self::Control => "control",
            Self::StatesIn => "states_in",
            Self::Result => "result_out",
            Self::GradThird => "grad_third",
            Self::Second => "second",
            Self::GradSecond => "grad_second",
            Self::SampleWeight => "sample_weight",
            Self::Param => "param",
            Self::Grad => "grad",
            Self::Moment => "moment",
            Self::Square => "square",
            Self::Peak => "peak",
            Self::Rows => "rows",
            Self::Merged => "merged",
            Self::Faults => "faults_out",
            Self::Counts => "counts_out",
            Self::Gate => "gate",
            Self::Count => "count",
            Self::GradLse => "grad_lse",
            Self::GradEntropy => "grad_entropy",
            Self::Left => "left",
            Self::Right => "right",
            Self::Product => "product",
            Self::Bias => "linear_bias",
            Self::Order => "order",
            Self::Taking => "taking",
            Self::Filter => "filter_out",
        }
    }
}

/// Declares a uniform struct together with the names and offsets of its fields.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
        pub struct $name { $(pub $field: $type,)* }

        impl $name {
            pub const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field)),)*];
        }
    };
}

params! {
    /// `Params` of `shaders/params/row.wgsl`, which says what each field means.
    RowParams {
        rows: u32, cols: u32, inner: u32, col_stride: u32,
        first_tile: u32, end_tile: u32, groups_x: u32, block_rows: u32,
        block_tiles: u32, first_row: u32, first_slab: u32, first_inner: u32,
        input_base: u32, input_stride: u32, targets_base: u32, targets_stride: u32,
        grad_input_base: u32, grad_input_stride: u32, grad_targets_base: u32, grad_targets_stride: u32,
        loss_base: u32, weight_base: u32, grad_output_base: u32, grad_output_step: u32,
        ignore: [u32; 2], scale: f32, neg_inf: f32,
        nan: f32, states_base: u32, loss_stride: u32, sample_weight_base: u32,
        rows_base: u32, states_in_base: u32, merged_base: u32, counts_base: u32,
        lowest: f32, zero: u32, block_row: u32, first_col: u32,
        order_base: u32, pad0: u32, pad1: u32, pad2: u32,
        scalars_0_3: [f32; 4], scalars_4_7: [f32; 4],
    }
}

params! {
    /// `Params` of `shaders/driver/elementwise.wgsl`.
    ElementParams {
        first_tile: u32, end_tile: u32, groups_x: u32, block_tiles: u32,
        block_len: u32, last_len: u32, first_block: u32, skip: u32,
        dims: u32, scale: f32, nan: f32, states_base: u32,
        scalars_0_3: [f32; 4], scalars_4_7: [f32; 4],
        first_place: [u32; 2], faults_base: u32, zero: u32,
        base: [u32; 12],
        sizes: [u32; 8],
        origin: [u32; 8],
        strides: [[u32; 8]; 12],
    }
}

params! {
    /// `Params` of `shaders/params/reduce.wgsl`.
    ReduceParams {
        first_tile: u32, end_tile: u32, groups_x: u32, len: u32,
        first_item: u32, base: u32, slab: u32, stride: u32,
        classes: u32, weight_base: u32, ignore: [u32; 2],
        scale: f32, neg_inf: f32, nan: f32, states_base: u32,
        empty: f32, sample_weight_base: u32, first_place: [u32; 2],
        result_base: u32, power: f32, lowest: f32, zero: u32,
    }
}

params! {
    /// `Params` of `shaders/driver/pair.wgsl`.
    PairParams {
        rows: u32, cols: u32, first_tile: u32, end_tile: u32,
        groups_x: u32, first_row: u32, input_base: u32, input_stride: u32,
        second_base: u32, second_stride: u32, third_base: u32, third_stride: u32,
        targets_base: u32, targets_step: u32, grad_input_base: u32, grad_input_stride: u32,
        grad_second_base: u32, grad_second_stride: u32, grad_third_base: u32, grad_third_stride: u32,
        loss_base: u32, states_base: u32, grad_output_base: u32, grad_output_step: u32,
        scale: f32, neg_inf: f32, nan: f32, zero: u32,
        scalars_0_3: [f32; 4], scalars_4_7: [f32; 4],
    }
}

params! {
    /// `Params` of `shaders/driver/upstream.wgsl`.
    UpstreamParams {
        first_tile: u32, end_tile: u32, groups_x: u32, len: u32,
        first_row: u32, grad_output_base: u32, grad_output_step: u32, grad_lse_base: u32,
        grad_entropy_base: u32, result_base: u32, pad0: u32, pad1: u32,
    }
}

params! {
    /// `Params` of `shaders/driver/update.wgsl`.
    UpdateParams {
        tiles: u32, groups_x: u32, len: u32, param_base: u32,
        grad_base: u32, moment_base: u32, square_base: u32, peak_base: u32,
        scalars_0_3: [f32; 4], scalars_4_7: [f32; 4],
        turn: u32, first: u32, zero: u32, pad0: u32,
    }
}

params! {
    /// `Params` of `shaders/driver/gate.wgsl`.
    GateParams {
        max_norm: f32, most: f32, growth: f32, backoff: f32,
        interval: u32, nan: f32, zero: u32, pad0: u32,
    }
}

params! {
    /// What stands between gradients and a step: `Gate` of `shaders/update/gate.wgsl`, which says what each field
    /// means.
    Gate {
        scale: f32, tracker: u32, found: u32, goes: u32,
        factor: f32, most: f32, norm: f32, skipped: u32,
    }
}

params! {
    /// `Params` of `shaders/params/product.wgsl`, which says what each field means.
    ProductParams {
        left_lines: u32, right_lines: u32, depth: u32, end_tile: u32,
        groups_x: u32, left_base: u32, left_stride: u32, right_base: u32,
        right_stride: u32, product_base: u32, product_stride: u32, bias_base: u32,
        bias_step: u32, order_base: u32, first_place: u32, first_run: u32,
        first_depth: u32, run_stride: u32, row_step: u32, cols: u32,
        first_col: u32, first_slab: u32, first_row: u32, inner: u32,
        col_stride: u32, rows_base: u32, states_base: u32, row_states: u32,
        weight_base: u32, targets_base: u32, targets_stride: u32, neg_inf: f32,
        nan: f32, lowest: f32, zero: u32, pad0: u32,
        scalars_0_3: [f32; 4], scalars_4_7: [f32; 4],
    }
}

params! {
    /// `Params` of `shaders/params/order.wgsl`.
    OrderParams {
        inputs: u32, heads: u32, classes: u32, end_tile: u32,
        groups_x: u32, targets_base: u32, first_input: u32, order_base: u32,
        taking_base: u32, pad0: u32, ignore: [u32; 2],
    }
}

params! {
    /// `Params` of `shaders/driver/filter.wgsl`.
    FilterParams {
        rows: u32, cols: u32, end_tile: u32, groups_x: u32,
        row_tiles: u32, product_base: u32, product_stride: u32, filter_base: u32,
        eps: f32, pad0: u32, pad1: u32, pad2: u32,
    }
}

params! {
    /// `Params` of `shaders/driver/rounded.wgsl`.
    RoundedParams {
        end_tile: u32, groups_x: u32, row_tiles: u32, cols: u32,
        from_base: u32, from_stride: u32, into_base: u32, into_stride: u32,
        order_base: u32, first_place: u32, pad0: u32, pad1: u32,
    }
}

params! {
    /// `Params` of `shaders/driver/column_sums.wgsl`.
    ColumnSumsParams {
        rows: u32, cols: u32, end_tile: u32, groups_x: u32,
        from_base: u32, from_stride: u32, into_base: u32, into_step: u32,
        order_base: u32, first_place: u32, pad0: u32, pad1: u32,
    }
}

params! {
    /// `Params` of `shaders/driver/multiply.wgsl`.
    MultiplyParams {
        turns: u32, factor: f32, term: f32, pad0: u32,
    }
}

params! {
    /// `Params` of `shaders/driver/gather.wgsl`.
    GatherParams {
        call: u32, source: u32, base: u32, pad0: u32,
    }
}

/// What many calls found, as `shaders/driver/gather.wgsl` joins it. Of nothing all is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct Log {
    /// Calls that found something.
    pub calls: u32,
    /// All that was found; stops at 2^32 - 1.
    pub count: u32,
    /// The number of the last of those calls, plus 1.
    pub last: u32,
    /// The number of the first; what found it (`Log::source`), how much, the place of the first and its value, low
    /// words first.
    pub first_call: u32,
    pub source: u32,
    pub first_count: u32,
    pub place: [u32; 2],
    pub value: [u32; 2],
}

pub(crate) const LOG_WORDS: usize = size_of::<Log>() / 4;

impl Log {
    /// The kind of a call, by a number of whoever keeps the log, and below that what of the call found something: 0 is
    /// its class targets, else an inspection by its number, from 1.
    pub(crate) fn source(kind: u32, record: Role) -> u32 {
        let inspection = match record {
            Role::Fault(nth) => u32::from(nth) + 1,
            _ => 0,
        };
        kind << 8 | inspection
    }

    /// The kind and the inspection of a source.
    pub(crate) fn told(source: u32) -> (usize, usize) {
        ((source >> 8) as usize, (source & 0xff) as usize)
    }

    /// Takes in what a call found: the same as the shader does.
    pub(crate) fn join(&mut self, call: u32, source: u32, count: u32, place: [u32; 2], value: [u32; 2]) {
        if count == 0 {
            return;
        }
        if self.count == 0 {
            (self.first_call, self.source, self.first_count) = (call, source, count);
            (self.place, self.value) = (place, value);
        }
        self.count = self.count.saturating_add(count);
        if self.last != call.wrapping_add(1) {
            self.last = call.wrapping_add(1);
            self.calls += 1;
        }
    }
}

/// What `shaders/state/count.wgsl` leaves behind: the denominator of `mean` and the fault record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct Control {
    /// One over the denominator.
    pub factor: f32,
    /// The sum of `sample_weight * weight[target]` over the rows kept.
    pub weight: f32,
    pub kept: u32,
    pub ignored: u32,
    pub bad: u32,
    pub first_bad: u32,
    pub bad_low: u32,
    pub bad_high: u32,
    /// One over the denominator of the z-loss, which the weights of the classes do not enter.
    pub z_factor: f32,
    pub rows: f32,
}

impl Control {
    /// Takes in the record of what follows `items` further on. The factors stay what they are.
    pub(crate) fn join(&mut self, next: &Self, items: u32) {
        if self.bad == 0 && next.bad > 0 {
            self.first_bad = items + next.first_bad;
            (self.bad_low, self.bad_high) = (next.bad_low, next.bad_high);
        }
        self.weight += next.weight;
        self.rows += next.rows;
        self.kept += next.kept;
        self.ignored += next.ignored;
        self.bad += next.bad;
    }
}

/// What an inspection leaves behind: `Fault` of `shaders/fault/fault.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Fault {
    /// Elements that break the rule; stops at 2^32 - 1.
    pub count: u32,
    /// The number of the first of them, low word first; all ones where there is none.
    pub first: [u32; 2],
    /// Its value as f32.
    pub bits: u32,
}

pub(crate) const FAULT_WORDS: usize = size_of::<Fault>() / 4;

impl Fault {
    pub const NONE: Self = Self {
        count: 0,
        first: [u32::MAX; 2],
        bits: 0,
    };

    /// The same of elements so many further on.
    pub(crate) fn shifted(mut self, elements: u64) -> Self {
        if self.count > 0 {
            self.first = words((self.place() + elements) as i64);
        }
        self
    }

    /// Takes in what was found further on.
    pub(crate) fn join(&mut self, next: &Self) {
        if self.count == 0 {
            (self.first, self.bits) = (next.first, next.bits);
        }
        self.count = self.count.saturating_add(next.count);
    }

    pub fn place(&self) -> u64 {
        from_words(self.first[0], self.first[1]) as u64
    }
}

/// An i64 as the shaders hold it: low word first.
pub fn words(value: i64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// The i64 of two words.
pub fn from_words(low: u32, high: u32) -> i64 {
    (i64::from(high as i32) << 32) | i64::from(low)
}
