//! Every shader that can be composed: accepted by naga (and by tint where it is installed), bound as the plans say,
//! laid out as the Rust structs, translated to SPIR-V, MSL and HLSL. No device.

mod compilers;
mod layouts;
mod others;
mod pieces;
mod variants;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use rayon::prelude::*;
use wgloss::plan::Dispatch;
use wgloss::shader::Variant;

use self::variants::variants;

/// It needs a feature that not every device has: lanes of a subgroup read each other's registers.
fn is_shuffled(variant: &Variant) -> bool {
    variant.pieces.iter().any(|own| {
        own.path.starts_with("lanes/") && own.path.contains("_subgroup") || own.path == "probe/subgroup.wgsl"
    })
}

fn parse(variant: &Variant) -> Result<(naga::Module, ModuleInfo), String> {
    let source = variant.compose();
    // A loop that was not written out keeps its mark, or loses it within the block of one that was.
    let is_left = |line: &str| line.contains("// unrolled") || line.starts_with("{ const ") && line.contains("for (");
    if let Some(line) = source.text.lines().position(is_left) {
        return Err(format!(
            "{}: a marked loop is left at {}",
            variant.label,
            source.locate(line + 1)
        ));
    }
    let module = naga::front::wgsl::parse_str(&source.text).map_err(|error| {
        let line = error.location(&source.text).map_or(0, |l| l.line_number as usize);
        format!("{}: {} at {}", variant.label, error.message(), source.locate(line))
    })?;
    // What every backend but OpenGL has: for WGSL's own conversions of f16.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if is_shuffled(variant) {
        capabilities |= Capabilities::SUBGROUP;
    }
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    let info = validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|error| format!("{}: {}", variant.label, error.emit_to_string(&source.text)))?;
    Ok((module, info))
}

/// Makes a claim of variants; fails with the first few messages.
fn claim<'a>(
    list: impl IntoParallelIterator<Item = &'a Dispatch>,
    check: impl Fn(&Dispatch, &naga::Module, &ModuleInfo) -> Result<(), String> + Sync,
) {
    let failures: Vec<String> = list
        .into_par_iter()
        .filter_map(|dispatch| {
            let parsed = parse(&dispatch.variant);
            parsed.and_then(|(module, info)| check(dispatch, &module, &info)).err()
        })
        .collect();
    crate::common::report(failures, variants().len());
}
