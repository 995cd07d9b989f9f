//! The limits that the planner reads, as a plain struct that tests can invent.

/// What a plan has to respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one storage binding can cover.
    pub max_binding_bytes: u64,
    /// Bytes of one buffer. Tensors larger than that lie in several.
    pub max_buffer_bytes: u64,
    /// Bytes that one dispatch may touch, unless a single tile touches more: a driver that watches over its device ends
    /// what runs for seconds. Counted are the windows of a dispatch; of rows within a slab, whose windows span the
    /// slab, the elements of those rows alone.
    pub max_dispatch_bytes: u64,
    /// Storage binding offsets are multiples of this.
    pub offset_alignment: u64,
    /// Uniform binding offsets are multiples of this.
    pub uniform_alignment: u64,
    /// Workgroups along one dimension of a dispatch.
    pub max_groups: u32,
    /// Invocations of one workgroup.
    pub max_width: u32,
    /// Invocations of every subgroup, where they may read each other's registers, or of the smallest where all have a
    /// multiple of 32; 1 where they may not, or differ in size otherwise. Results are the same to the bit.
    pub subgroup: u32,
    /// `unpack2x16float` is exact, subnormal numbers and infinities included: f16 is read by it. Elsewhere integer
    /// arithmetic does the same, to the same bits but for those of NaN.
    pub unpacks_f16: bool,
    /// The same of `pack2x16float`, ties to even and what is beyond f16 included: f16 is written by it.
    pub packs_f16: bool,
    /// Bytes of logits that the loss of a linear layer keeps at a time for its gradients. Results are the same to the
    /// bit.
    pub scratch_bytes: u64,
}

/// Subgroups of no more lanes are the vectors of a processor, which run in lockstep.
pub(crate) const LOCKSTEP: u32 = 8;

/// Lanes that merge first on GPUs. Subgroups of any multiple will do for it.
const GROUP: u32 = 32;

/// No invocation runs more loop iterations than this in all. Mesa's llvmpipe silently ends every loop of an
/// invocation at about 65,530 iterations, nested ones included; half of that leaves room.
pub const MAX_ITERATIONS: u64 = 32_768;

/// Of logits, unless told otherwise.
const SCRATCH_BYTES: u64 = 64 << 20;

/// Storage bindings may begin at multiples of this on any device: WebGPU allows none a coarser alignment.
pub const COARSEST_ALIGNMENT: u64 = 256;

/// Element indices within a binding are 32-bit, and so are byte offsets on some drivers.
const MAX_WINDOW_BYTES: u64 = 1 << 31;

impl Limits {
    pub fn new(limits: &wgpu::Limits) -> Self {
        Self {
            max_binding_bytes: limits.max_storage_buffer_binding_size.min(MAX_WINDOW_BYTES),
            max_buffer_bytes: limits.max_buffer_size,
            max_dispatch_bytes: Self::dispatch_bytes(wgpu::DeviceType::Other),
            offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment),
            uniform_alignment: u64::from(limits.min_uniform_buffer_offset_alignment),
            max_groups: limits.max_compute_workgroups_per_dimension,
            max_width: limits
                .max_compute_invocations_per_workgroup
                .min(limits.max_compute_workgroup_size_x),
            subgroup: 1,
            unpacks_f16: false,
            packs_f16: false,
            scratch_bytes: SCRATCH_BYTES,
        }
    }

    /// Those of a device.
    pub fn of(device: &wgpu::Device) -> Self {
        let info = device.adapter_info();
        Self {
            max_dispatch_bytes: Self::dispatch_bytes(info.device_type),
            subgroup: Self::subgroup(device.features(), &info),
            ..Self::new(&device.limits())
        }
    }

    fn subgroup(features: wgpu::Features, info: &wgpu::AdapterInfo) -> u32 {
        let (least, most) = (info.subgroup_min_size, info.subgroup_max_size);
        let is_known = least.is_power_of_two() && most.is_power_of_two() && (least == most || least >= GROUP);
        match features.contains(wgpu::Features::SUBGROUP) && is_known {
            true => least,
            false => 1,
        }
    }

    /// What an adapter of a class goes through within a quarter of a second, when it is a slow one of its class: those
    /// of 250 MB/s, or 4 GB/s. A dispatch touches no more. The forms that submit for themselves measure what a
    /// submission may touch (`src/plan/parts.rs`).
    pub fn dispatch_bytes(device: wgpu::DeviceType) -> u64 {
        match device {
            wgpu::DeviceType::DiscreteGpu => 1 << 30,
            _ => 64 << 20,
        }
    }

    /// Bytes of results that are kept for later ones of their size, unless told otherwise.
    pub(crate) fn returned_bytes(device: wgpu::DeviceType) -> u64 {
        match device {
            wgpu::DeviceType::DiscreteGpu => 4 << 30,
            _ => 1 << 30,
        }
    }

    /// Tensors that begin so many bytes apart are alike to a plan: bindings may begin there, and vectors of shaders do.
    pub fn step(&self) -> u64 {
        match self.offset_alignment.is_multiple_of(16) {
            true => self.offset_alignment,
            false => 16 * self.offset_alignment,
        }
    }

    /// Bytes of each of the buffers of a tensor that is larger than one, but for the last: bindings that begin anywhere
    /// allowed in the tensor do so in its buffers.
    pub fn span(&self) -> u64 {
        let step = self.offset_alignment.max(COARSEST_ALIGNMENT);
        self.max_buffer_bytes / step * step
    }

    /// Bytes that one binding can have of a tensor. What reaches over the end of a buffer is brought together in
    /// another one.
    pub fn max_window_bytes(&self) -> u64 {
        self.max_binding_bytes.min(self.span())
    }
}
