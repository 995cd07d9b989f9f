//! What a device has to prove, when it is opened, before plans rest on it. What it does not prove is done the other
//! way.

use std::sync::Mutex;

use super::{Gpu, wait};
use crate::error::Result;
use crate::layout::Slot;
use crate::limits::Limits;
use crate::memory::lock;
use crate::plan::{PROBE_WORDS, Probe, Question, probes};

/// Devices that were asked in this process, by what they are, and what they proved.
static KNOWN: Mutex<Vec<(Asked, Limits)>> = Mutex::new(Vec::new());

/// What a device is told from others by.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    info: wgpu::AdapterInfo,
    features: wgpu::Features,
    limits: Limits,
}

impl Gpu {
    /// The limits that a device has by its own account, but for what it does not prove.
    pub(super) fn proved(&self, claimed: Limits) -> Limits {
        let asked = Asked {
            info: self.info.clone(),
            features: self.device.features(),
            limits: claimed,
        };
        // Not while a device is asked, which may take its time: others are opened meanwhile.
        let known = || lock(&KNOWN);
        if let Some((_, limits)) = known().iter().find(|(own, _)| *own == asked) {
            return *limits;
        }
        match self.prove(claimed, &probes(&claimed)) {
            Ok(limits) => {
                known().push((asked, limits));
                limits
            }
            // Lost, or without memory now: it goes the safe way, and the next to be opened is asked again.
            Err(_) => unproved(claimed),
        }
    }

    /// Runs all probes in one submission, each as far as it can be made: one that does not compile proves nothing.
    fn prove(&self, claimed: Limits, list: &[Probe]) -> Result<Limits> {
        let bytes = (4 * PROBE_WORDS * list.len()) as u64;
        let buffer = |label, usage| {
            self.guarded(label, bytes, || {
                self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(label),
                    size: bytes,
                    usage,
                    mapped_at_creation: false,
                })
            })
        };
        let found = buffer(
            "wgloss probes",
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        )?;
        let staging = buffer(
            "wgloss probes read",
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        )?;
        // What can be made, or nothing.
        let made = list
            .iter()
            .filter_map(|probe| Some((probe, self.asked(probe, &found).ok()?)));
        let made: Vec<_> = made.collect();
        self.guarded("wgloss probes", 0, || {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            for (probe, (pipeline, group)) in &made {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, group, &[]);
                pass.dispatch_workgroups(probe.groups, 1, 1);
            }
            encoder.copy_buffer_to_buffer(&found, 0, &staging, 0, bytes);
            self.queue.submit([encoder.finish()]);
        })?;
        let words = wait::words(self, &staging, bytes)?;
        let holds = |question: Question| {
            let own = list.iter().zip(words.chunks_exact(PROBE_WORDS));
            let mut own = own.filter(|(probe, _)| probe.question == question).peekable();
            own.peek().is_some() && own.all(|(probe, words)| *words == [0, probe.invocations])
        };
        Ok(Limits {
            subgroup: if holds(Question::Subgroups) {
                claimed.subgroup
            } else {
                1
            },
            unpacks_f16: holds(Question::Unpacks),
            packs_f16: holds(Question::Packs),
            ..claimed
        })
    }

    fn asked(&self, probe: &Probe, found: &wgpu::Buffer) -> Result<(wgpu::ComputePipeline, wgpu::BindGroup)> {
        let label = probe.variant.label.as_str();
        let source = probe.variant.compose();
        self.guarded(label, 0, || {
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(label),
                source: wgpu::ShaderSource::Wgsl(source.text.as_str().into()),
            });
            let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(label),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: None,
            });
            let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(label),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &[wgpu::BindGroupEntry {
                    binding: Slot::Result as u32,
                    resource: found.as_entire_binding(),
                }],
            });
            (pipeline, group)
        })
    }
}

/// The limits of a device that has proved nothing.
pub(super) fn unproved(claimed: Limits) -> Limits {
    Limits {
        subgroup: 1,
        unpacks_f16: false,
        packs_f16: false,
        ..claimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::open::adapters;
    use crate::shader::Piece;

    /// The probes, with one text of a file instead of another.
    fn lied_to(claimed: &Limits, was: &str, instead: &str) -> Option<Vec<Probe>> {
        let mut list = probes(claimed);
        let mut lies = 0;
        for probe in &mut list {
            let lie = |piece: &Piece| {
                let text = piece.text.replace(was, instead);
                Piece {
                    text: Box::leak(text.into_boxed_str()),
                    ..*piece
                }
            };
            lies += probe.variant.pieces.iter().filter(|own| own.text.contains(was)).count();
            probe.variant.pieces = probe.variant.pieces.iter().map(lie).collect();
        }
        // Without subgroups of one size nobody asks for them.
        assert!(lies > 0 || claimed.subgroup == 1, "{was}");
        (lies > 0).then_some(list)
    }

    #[test]
    fn a_probe_that_is_lied_to_proves_nothing() {
        let Some(gpu) = adapters().iter().find_map(|own| Gpu::open(own).ok()) else {
            eprintln!("skipped: no adapter");
            return;
        };
        let claimed = Limits::of(&gpu.device);
        let honest = gpu.prove(claimed, &probes(&claimed)).unwrap();
        assert_eq!(honest, gpu.has);
        println!("{}: {honest:?}", gpu.info.name);
        let (subgroup, unpacks, packs) = (honest.subgroup, honest.unpacks_f16, honest.packs_f16);
        for (was, instead, want) in [
            // Another order of subgroups, of other sizes, a shuffle that reads another lane.
            ("SUBGROUP != own)", "SUBGROUP != (own ^ 1u))", (1, unpacks, packs)),
            ("|= size != SUBGROUP", "|= size == SUBGROUP", (1, unpacks, packs)),
            (
                "mark(lane), at + other)",
                "mark(lane), at + (other ^ 1u))",
                (1, unpacks, packs),
            ),
            ("Xor(mark(lane), half)", "Xor(mark(lane), 0u)", (1, unpacks, packs)),
            // It truncates; it flushes subnormal numbers, or takes what is beyond f16 for its largest.
            (
                "= pack2x16float(x.xy)",
                "= pack2x16float(bitcast<vec2<f32>>(bits.xy & vec2<u32>(0xffffe000u)))",
                (subgroup, unpacks, false),
            ),
            (
                "= pack2x16float(x.zw)",
                "= pack2x16float(clamp(x.zw, vec2<f32>(-65504.0), vec2<f32>(65504.0)))",
                (subgroup, unpacks, false),
            ),
            (
                "vec4<f32>(a, b)",
                "select(vec4<f32>(a, b), vec4<f32>(0.0), abs(vec4<f32>(a, b)) < vec4<f32>(6.0e-5))",
                (subgroup, false, packs),
            ),
            // It never ran, or not as a whole, or does not compile.
            ("atomicAdd(&result_out[AT + 1u], 1u);", "", (1, false, false)),
            ("at.x * 16u + k", "nothing * 16u + k", (subgroup, false, false)),
        ] {
            let Some(lies) = lied_to(&claimed, was, instead) else {
                eprintln!("skipped, since no probe here says it: {was}");
                continue;
            };
            let found = gpu.prove(claimed, &lies).unwrap();
            assert_eq!((found.subgroup, found.unpacks_f16, found.packs_f16), want, "{instead}");
        }
        // Expected are more invocations than came.
        let mut list = probes(&claimed);
        list.iter_mut().for_each(|own| own.invocations += 1);
        assert_eq!(gpu.prove(claimed, &list).unwrap(), unproved(claimed));
        assert_eq!(gpu.prove(claimed, &[]).unwrap(), unproved(claimed));
    }
}
