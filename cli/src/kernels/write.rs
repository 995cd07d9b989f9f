//! A compiled shader in the languages of the backends, with the options that wgpu-hal 30 gives naga's writers. wgpu
//! numbers what a shader binds in the order of its binding numbers, each backend in its own way.

use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::{ResourceBinding, ShaderStage};
use wgloss_shell::Failure;

use super::compile::{Bound, Compiled, Kind};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    Wgsl,
    Spirv,
    Msl,
    Hlsl,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Wgsl, Self::Spirv, Self::Msl, Self::Hlsl];

    pub fn name(self) -> &'static str {
        match self {
            Self::Wgsl => "wgsl",
            Self::Spirv => "spirv",
            Self::Msl => "msl",
            Self::Hlsl => "hlsl",
        }
    }

    /// Of the files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Wgsl => "wgsl",
            Self::Spirv => "spv",
            Self::Msl => "metal",
            Self::Hlsl => "hlsl",
        }
    }

    pub fn help(self) -> &'static str {
        match self {
            Self::Wgsl => "what is composed from the files of shaders/",
            Self::Spirv => "what a Vulkan driver gets: SPIR-V 1.6 for Vulkan 1.3 with robustBufferAccess2",
            Self::Msl => "what Metal gets: version 3.1, of macOS 14",
            Self::Hlsl => "what DirectX 12 gets: shader model 6.0, the first with subgroups",
        }
    }
}

/// The entry point of every shader.
const MAIN: &str = "main";

/// The shader in a format: text, or the words of SPIR-V.
pub fn written(compiled: &Compiled, format: Format, subgroups: bool) -> Result<Vec<u8>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        let (label, name) = (&compiled.label, format.name());
        Failure::Failed(format!("{label}: {name}: {error}"))
    };
    if format == Format::Wgsl {
        return Ok(compiled.source.text.clone().into_bytes());
    }
    // Without overrides, of which no shader of ours has any, wgpu writes the module as it is.
    let (module, info) = (&compiled.module, &compiled.info);
    let bound = compiled.bound();
    Ok(match format {
        Format::Wgsl => Vec::new(),
        Format::Spirv => {
            let pipeline = spv::PipelineOptions {
                shader_stage: ShaderStage::Compute,
                entry_point: MAIN.into(),
            };
            let words = spv::write_vec(module, info, &spirv(&bound, subgroups), Some(&pipeline));
            words
                .map_err(|error| failed(&error))?
                .into_iter()
                .flat_map(u32::to_le_bytes)
                .collect()
        }
        Format::Msl => {
            let pipeline = msl::PipelineOptions {
                entry_point: Some((ShaderStage::Compute, MAIN.into())),
                vertex_pulling_transform: true,
                ..Default::default()
            };
            let text = msl::write_string(module, info, &metal(&bound), &pipeline);
            text.map_err(|error| failed(&error))?.0.into_bytes()
        }
        Format::Hlsl => {
            let pipeline = hlsl::PipelineOptions {
                entry_point: Some((ShaderStage::Compute, MAIN.into())),
            };
            let (options, mut text) = (directx(&bound), String::new());
            let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
            writer.write(module, info, None).map_err(|error| failed(&error))?;
            text.into_bytes()
        }
    })
}

/// As `vulkan/adapter.rs` has them for a device of Vulkan 1.3: the driver itself keeps buffers within their bounds. Our
/// pipelines ask nobody to zero workgroup memory.
fn spirv(bound: &[Bound], subgroups: bool) -> spv::Options<'static> {
    use spv::Capability;
    let mut capabilities = vec![
        Capability::Shader,
        Capability::Matrix,
        Capability::Sampled1D,
        Capability::Image1D,
        Capability::ImageQuery,
        Capability::DerivativeControl,
        Capability::StorageImageExtendedFormats,
    ];
    if subgroups {
        capabilities.extend([
            Capability::GroupNonUniform,
            Capability::GroupNonUniformVote,
            Capability::GroupNonUniformArithmetic,
            Capability::GroupNonUniformBallot,
            Capability::GroupNonUniformShuffle,
            Capability::GroupNonUniformShuffleRelative,
            Capability::GroupNonUniformQuad,
        ]);
    }
    let numbered = bound.iter().zip(0..).map(|(own, binding)| {
        let info = spv::BindingInfo {
            descriptor_set: own.binding.group,
            binding,
            binding_array_size: None,
        };
        (own.binding, info)
    });
    spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        capabilities: Some(capabilities.into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: true,
        use_storage_input_output_16: false,
        fake_missing_bindings: false,
        binding_map: numbered.collect(),
        debug_info: None,
        emit_int_div_checks: true,
        ..Default::default()
    }
}

/// As `metal/device.rs` has them. The sizes of the buffers come behind the buffers.
fn metal(bound: &[Bound]) -> msl::Options {
    let numbered = bound.iter().zip(0..).map(|(own, number)| {
        let target = msl::BindTarget {
            buffer: Some(number),
            mutable: own.kind == Kind::Write,
            ..Default::default()
        };
        (own.binding, target)
    });
    let has_storage = bound.iter().any(|own| own.kind != Kind::Uniform);
    let resources = msl::EntryPointResources {
        resources: numbered.collect(),
        immediates_buffer: None,
        sizes_buffer: has_storage.then_some(bound.len() as u8),
    };
    msl::Options {
        lang_version: (3, 1),
        per_entry_point_map: [(MAIN.to_owned(), resources)].into(),
        fake_missing_bindings: false,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Restrict,
            image_load: BoundsCheckPolicy::Restrict,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: true,
        emit_int_div_checks: true,
        ..Default::default()
    }
}

/// As `dx12/device.rs` has them: registers of constants, of what is read and of what is written, each counted by
/// itself. The number of workgroups comes behind the constants.
fn directx(bound: &[Bound]) -> hlsl::Options {
    let mut next = [0u32; 3];
    let mut numbered: Vec<(ResourceBinding, hlsl::BindTarget)> = Vec::new();
    for own in bound {
        let register = match own.kind {
            Kind::Uniform => &mut next[0],
            Kind::Read => &mut next[1],
            Kind::Write => &mut next[2],
        };
        let target = hlsl::BindTarget {
            register: *register,
            ..Default::default()
        };
        *register += 1;
        numbered.push((own.binding, target));
    }
    hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        binding_map: numbered.into_iter().collect(),
        fake_missing_bindings: false,
        special_constants_binding: Some(hlsl::BindTarget {
            register: next[0],
            ..Default::default()
        }),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: true,
        force_loop_bounding: true,
        ..Default::default()
    }
}
