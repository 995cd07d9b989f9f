//! Dtypes, and numbers of one as those of another.

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
    U8,
    I32,
    U32,
    I64,
}

impl Dtype {
    /// What losses compute on.
    pub const FLOATS: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];
    /// What class targets may be.
    pub const LABELS: [Self; 4] = [Self::U8, Self::I32, Self::U32, Self::I64];

    pub fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::I64 => 8,
        }
    }

    pub fn is_float(self) -> bool {
        Self::FLOATS.contains(&self)
    }

    /// A float of 16 bits, two of which share a word in the shaders.
    pub fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16)
    }

    /// The name in pieces, pipeline labels and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::U8 => "u8",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Rust types that a tensor can hold.
pub trait Element: bytemuck::Pod + std::fmt::Debug + Send + Sync {
    const DTYPE: Dtype;
}

macro_rules! element {
    ($($type:ty => $dtype:ident),*) => {
        $(impl Element for $type { const DTYPE: Dtype = Dtype::$dtype; })*
    };
}
element!(f32 => F32, half::f16 => F16, half::bf16 => Bf16, u8 => U8, i32 => I32, u32 => U32, i64 => I64);

/// Numbers of any dtype as f32, which holds all floats; of integers, the nearest.
pub(crate) fn floats(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    if dtype == Dtype::F32 {
        return bytemuck::pod_collect_to_vec(bytes);
    }
    let widen = |own: &[u8]| match dtype {
        Dtype::F32 => bytemuck::pod_read_unaligned(own),
        Dtype::F16 => bytemuck::pod_read_unaligned::<half::f16>(own).to_f32(),
        Dtype::Bf16 => bytemuck::pod_read_unaligned::<half::bf16>(own).to_f32(),
        Dtype::U8 => f32::from(own[0]),
        Dtype::I32 => bytemuck::pod_read_unaligned::<i32>(own) as f32,
        Dtype::U32 => bytemuck::pod_read_unaligned::<u32>(own) as f32,
        Dtype::I64 => bytemuck::pod_read_unaligned::<i64>(own) as f32,
    };
    bytes.chunks_exact(dtype.bytes() as usize).map(widen).collect()
}

/// Numbers as those of a float dtype, as many as `out` has room for.
pub(crate) fn convert(from: Dtype, bytes: &[u8], to: Dtype, out: &mut [u8]) {
    // In pieces: the numbers in between are not worth memory of the tensor's size.
    const PIECE: usize = 1 << 14;
    let (size, own) = (to.bytes() as usize, from.bytes() as usize);
    for (bytes, out) in bytes.chunks(PIECE * own).zip(out.chunks_mut(PIECE * size)) {
        for (x, out) in floats(from, bytes).into_iter().zip(out.chunks_exact_mut(size)) {
            match to {
                Dtype::F16 => out.copy_from_slice(&half::f16::from_f32(x).to_ne_bytes()),
                Dtype::Bf16 => out.copy_from_slice(&half::bf16::from_f32(x).to_ne_bytes()),
                _ => out.copy_from_slice(&x.to_ne_bytes()),
            }
        }
    }
}
