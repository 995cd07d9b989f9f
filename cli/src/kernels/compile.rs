//! A variant compiled by naga, as wgpu does it: parsed and validated, with what it binds and the memory that it takes.

use std::error::Error;

use naga::valid::{
    Capabilities, GlobalUse, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator,
};
use naga::{AddressSpace, ResourceBinding, StorageAccess};
use wgloss::layout::Slot;
use wgloss::shader::{Source, Variant};
use wgloss_shell::Failure;

use super::device::Device;
use super::used;

pub struct Compiled {
    pub label: String,
    pub source: Source,
    pub module: naga::Module,
    pub info: ModuleInfo,
    /// What of its bindings the branches use that its constants let it take.
    used: Vec<Bound>,
}

/// What a shader binds, in the order of the numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    pub binding: ResourceBinding,
    pub kind: Kind,
    pub is_read: bool,
    pub is_written: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Uniform,
    /// Of storage that is only read.
    Read,
    Write,
}

impl Compiled {
    /// Compiles a variant. What naga refuses is told with the file and the line of `shaders/`.
    pub fn new(variant: &Variant, device: &Device) -> Result<Self, Failure> {
        Self::behind("", variant, device)
    }

    /// The same behind lines that are none of ours.
    pub fn behind(prelude: &str, variant: &Variant, device: &Device) -> Result<Self, Failure> {
        let source = variant.compose();
        let (text, before) = (format!("{prelude}{}", source.text), prelude.lines().count());
        let refused = |message: String, line: Option<usize>| {
            let place = line.map(|line| {
                let text = source.text.lines().nth(line - 1).unwrap_or_default();
                format!(" at {}: {}", source.locate(line), text.trim())
            });
            Failure::Failed(format!("{}: {message}{}", variant.label, place.unwrap_or_default()))
        };
        let line = |location: naga::SourceLocation| (location.line_number as usize).saturating_sub(before).max(1);
        let module = naga::front::wgsl::parse_str(&text)
            .map_err(|error| refused(error.message().into(), error.location(&text).map(line)))?;
        let subgroups = match device.has_subgroups() {
            true => Capabilities::SUBGROUP,
            false => Capabilities::empty(),
        };
        // What every backend but OpenGL has; naga asks for it where f16 is converted by WGSL's own functions.
        let capabilities = subgroups | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        let validated = |module: &naga::Module| {
            Validator::new(ValidationFlags::all(), capabilities)
                .subgroup_stages(ShaderStages::COMPUTE)
                .subgroup_operations(SubgroupOperationSet::all())
                .validate(module)
                .map_err(Box::new)
        };
        let info =
            validated(&module).map_err(|error| refused(chain(error.as_inner()), error.location(&text).map(line)))?;
        let taken = used::taken(&module);
        let of_taken = validated(&taken).map_err(|error| {
            let message = format!("without the branches that are never taken: {}", chain(error.as_inner()));
            refused(message, None)
        })?;
        let used = bound(&taken, &of_taken);
        let compiled = Self {
            label: variant.label.clone(),
            source,
            module,
            info,
            used,
        };
        compiled.within(device)?;
        Ok(compiled)
    }

    /// Refuses what the device has no room for.
    fn within(&self, device: &Device) -> Result<(), Failure> {
        let beyond = |what: &str, own: u64, most: u64| match own > most {
            true => Err(Failure::Failed(format!(
                "beyond the limits: {}: {own} {what}, of which there are {most}",
                self.label
            ))),
            false => Ok(()),
        };
        beyond(
            "bytes of workgroup memory",
            self.workgroup_bytes(),
            device.workgroup_bytes,
        )?;
        beyond("invocations", self.width().into(), device.limits.max_width.into())
    }

    /// Invocations of a workgroup.
    pub fn width(&self) -> u32 {
        self.module
            .entry_points
            .first()
            .map_or(0, |main| main.workgroup_size.iter().product())
    }

    /// Bytes of workgroup memory, each variable in multiples of 16, as WebGPU counts them.
    pub fn workgroup_bytes(&self) -> u64 {
        let used = globals(&self.module, &self.info).filter(|(own, _)| own.space == AddressSpace::WorkGroup);
        let size = |own: &naga::GlobalVariable| self.module.types[own.ty].inner.size(self.module.to_ctx());
        used.map(|(own, _)| u64::from(size(own).next_multiple_of(16))).sum()
    }

    /// What the pipeline binds.
    pub fn bound(&self) -> Vec<Bound> {
        bound(&self.module, &self.info)
    }

    /// Whether the shader reads what is bound to a slot, and whether it writes there.
    pub fn uses(&self, slot: Slot) -> (bool, bool) {
        let number = slot as u32;
        let own = self.used.iter().filter(|own| own.binding.binding == number);
        // A slot has one declaration that a shader reads through and another that it writes through, of which it uses
        // some.
        own.fold((false, false), |(reads, writes), own| {
            (reads | own.is_read, writes | own.is_written)
        })
    }
}

/// The globals that the entry point uses.
fn globals<'a>(
    module: &'a naga::Module,
    info: &'a ModuleInfo,
) -> impl Iterator<Item = (&'a naga::GlobalVariable, GlobalUse)> {
    let main = info.get_entry_point(0);
    let all = module.global_variables.iter();
    all.map(move |(handle, own)| (own, main[handle]))
        .filter(|(_, used)| !used.is_empty())
}

fn bound(module: &naga::Module, info: &ModuleInfo) -> Vec<Bound> {
    let of = |(own, used): (&naga::GlobalVariable, GlobalUse)| {
        let kind = match own.space {
            AddressSpace::Uniform => Kind::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Kind::Write,
            AddressSpace::Storage { .. } => Kind::Read,
            _ => return None,
        };
        Some(Bound {
            binding: own.binding?,
            kind,
            is_read: used.contains(GlobalUse::READ),
            is_written: used.contains(GlobalUse::WRITE),
        })
    };
    let mut list: Vec<Bound> = globals(module, info).filter_map(of).collect();
    list.sort_by_key(|own| own.binding);
    list
}

/// An error, and what is behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        text += &format!(": {error}");
        behind = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use wgloss::shader::Piece;

    use super::*;

    fn device() -> Device {
        let command = super::super::plan::command();
        let matches = command.try_get_matches_from(["plan", "mse", "--shape", "4"]).unwrap();
        Device::named(matches.subcommand().unwrap().1).unwrap()
    }

    fn error_of(text: &'static str) -> String {
        let piece = |path, text| Piece {
            path,
            text,
            operand: None,
            consts: &[],
        };
        let main = "@compute @workgroup_size(1)\nfn main() {\n    helper();\n}\n";
        let broken = Variant {
            shared: Vec::new(),
            label: "broken".into(),
            consts: Vec::new(),
            pieces: vec![piece("own/main.wgsl", main), piece("own/helper.wgsl", text)],
        };
        match Compiled::new(&broken, &device()) {
            Err(failure) => failure.to_string(),
            Ok(_) => panic!("{text} was accepted"),
        }
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let text = "// a comment\nfn helper() {\n    let x = nothing;\n}\n";
        assert_eq!(
            error_of(text),
            "broken: no definition in scope for identifier: `nothing` at shaders/own/helper.wgsl:3: let x = nothing;"
        );
        let message = error_of("fn helper() -> u32 {\n}\n");
        assert!(
            message.starts_with("broken: ") && message.contains(" at shaders/own/helper.wgsl:"),
            "{message}"
        );
        let text = "var<workgroup> states: array<vec4<f32>, 4096>;\nfn helper() {\n    states[0].x = 1.0;\n}\n";
        assert_eq!(
            error_of(text),
            "beyond the limits: broken: 65536 bytes of workgroup memory, of which there are 32768"
        );
    }
}
