//! Pipelines: compiled when first needed, once each, or several at once ahead of need.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::Gpu;
use super::activity::count;
use crate::error::Result;
use crate::memory::lock;
use crate::shader::Variant;

/// Pipelines by what makes them.
#[derive(Debug, Default)]
pub(crate) struct Pipelines(Mutex<HashMap<Variant, Arc<Place>>>);

/// Where a pipeline will be. Whoever compiles it holds the lock: who needs it meanwhile waits, and finds it.
type Place = Mutex<Option<wgpu::ComputePipeline>>;

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
        let source = variant.compose();
        let pipeline = self.guarded(&variant.label, 0, || {
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&variant.label),
                source: wgpu::ShaderSource::Wgsl(source.text.into()),
            });
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&variant.label),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: self.disk.as_ref().map(|disk| &disk.cache),
            })
        })?;
        count(&self.counters.pipelines, 1);
        if let Some(disk) = &self.disk {
            disk.changed();
        }
        Ok(pipeline)
    }
}
