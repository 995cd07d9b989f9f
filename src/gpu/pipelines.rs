//! Pipelines: compiled when first needed, once each, or several at once ahead of need.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::Gpu;
use super::activity::count;
use super::wait;
use crate::error::{Error, Result};
use crate::memory::lock;
use crate::shader::{Source, Variant};

/// Pipelines by what makes them.
#[derive(Debug, Default)]
pub(crate) struct Pipelines(Mutex<HashMap<Variant, Arc<Place>>>);

/// Where a pipeline will be. Whoever compiles it holds the lock: who needs it meanwhile waits, and finds it.
type Place = Mutex<Option<wgpu::ComputePipeline>>;

/// What tests make of a variant before it is composed.
pub(crate) struct Alters(pub Box<dyn Fn(&Variant) -> Variant + Send + Sync>);

impl std::fmt::Debug for Alters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alters")
    }
}

impl Pipelines {
    fn place(&self, variant: &Variant) -> Arc<Place> {
        let mut places = lock(&self.0);
        if let Some(place) = places.get(variant) {
            return Arc::clone(place);
        }
        let place = Arc::default();
        places.insert(variant.clone(), Arc::clone(&place));
        place
    }
}

impl Gpu {
    /// The pipeline of a variant.
    pub fn pipeline(&self, variant: &Variant) -> Result<wgpu::ComputePipeline> {
        let place = self.pipelines.place(variant);
        let mut place = lock(&place);
        if let Some(pipeline) = place.as_ref() {
            return Ok(pipeline.clone());
        }
        // After a failure it stays empty, and the next in line tries by itself.
        let pipeline = self.compile(variant)?;
        *place = Some(pipeline.clone());
        Ok(pipeline)
    }

    /// Compiles what is not compiled yet, side by side.
    pub fn compile_all<'a>(&self, variants: impl Iterator<Item = &'a Variant>) -> Result<()> {
        let all: HashSet<_> = variants.collect();
        all.into_par_iter()
            .try_for_each(|variant| self.pipeline(variant).map(|_| ()))
    }

    fn compile(&self, variant: &Variant) -> Result<wgpu::ComputePipeline> {
        let source = match &self.alters {
            Some(Alters(alter)) => alter(variant).compose(),
            None => variant.compose(),
        };
        let mut module = None;
        let made = self.guarded(&variant.label, 0, || {
            let module = module.insert(self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&variant.label),
                source: wgpu::ShaderSource::Wgsl(source.text.as_str().into()),
            }));
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&variant.label),
                layout: None,
                module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // Whatever is read there was written before: tests/unwritten.rs.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: self.disk.as_ref().map(|disk| &disk.cache),
            })
        });
        let pipeline = made.map_err(|error| located(error, module.as_ref(), &source))?;
        count(&self.counters.pipelines, 1);
        if let Some(disk) = &self.disk {
            disk.changed();
        }
        Ok(pipeline)
    }
}

/// The error of a shader that does not compile, behind the file and the line of `shaders/` that it is in: wgpu counts
/// the lines of the composed text.
fn located(error: Error, module: Option<&wgpu::ShaderModule>, source: &Source) -> Error {
    let (Error::Device(text), Some(module)) = (&error, module) else {
        return error;
    };
    let told = wait::compilation(module);
    let place = told.messages.iter().find_map(|message| message.location);
    match place {
        Some(place) => Error::Device(format!("{}: {text}", source.locate(place.line_number as usize))),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::open::adapters;
    use crate::shader::Piece;

    #[test]
    fn an_error_of_compilation_names_the_file_and_the_line() {
        let Some(gpu) = adapters().iter().find_map(|own| Gpu::open(own).ok()) else {
            eprintln!("skipped: no adapter");
            return;
        };
        let piece = |path, text| Piece {
            path,
            text,
            operand: None,
            consts: &[],
        };
        let main = piece(
            "own/main.wgsl",
            "@compute @workgroup_size(1)\nfn main() {\n    helper();\n}\n",
        );
        for (text, place) in [
            // Not WGSL, and WGSL that is not valid.
            (
                "// a comment\nfn helper() {\n    let x = nothing;\n}\n",
                "own/helper.wgsl:3: ",
            ),
            ("fn helper() -> u32 {\n}\n", "own/helper.wgsl:"),
        ] {
            let broken = Variant {
                shared: Vec::new(),
                label: "broken".into(),
                consts: Vec::new(),
                pieces: vec![main, piece("own/helper.wgsl", text)],
            };
            let error = gpu.pipeline(&broken).unwrap_err().to_string();
            let expected = format!("device: shaders/{place}");
            assert!(error.starts_with(&expected), "{error}");
            assert!(error.contains("broken: "), "{error}");
        }
    }
}
