//! One workgroup of a traced dispatch, run on whatever adapter there is, on memory that holds no more than its windows.

use std::collections::BTreeMap;

use wgloss::Engine;
use wgloss::layout::Slot;
use wgloss::plan::Dispatch;
use wgloss_shell::Failure;

use super::super::compile::Compiled;
use super::super::device::Device;
use super::count::{Tally, tallies};
use super::trace::{self, RECORDS};

/// Records of a lane that there is room for at first.
const RECORDS_AT_FIRST: u64 = 4096;

/// Traces a dispatch: the workgroup in the middle of it, with labels below `classes` and zeros for all else.
pub fn run(
    engine: &Engine,
    dispatch: &Dispatch,
    device: &Device,
    classes: u64,
) -> Result<BTreeMap<(u32, bool), Tally>, Failure> {
    let label = dispatch.variant.label.as_str();
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("--sectors: {label}: {error}"));
    let width = Compiled::new(&dispatch.variant, device)?.width();
    let [x, y] = dispatch.groups;
    let prelude = trace::prelude(width, [x / 2, y / 2]);
    let compiled = Compiled::behind(&prelude, &dispatch.variant, device)?;
    let used = compiled.bound();
    let (module, sites) = trace::traced(compiled.module, &compiled.info)?;

    let Some((gpu, queue)) = engine.wgpu() else {
        return Err(failed(&"there is no adapter"));
    };
    let limits = gpu.limits();
    let bindings = dispatch.bindings.len() as u32 + 1;
    if bindings > limits.max_storage_buffers_per_shader_stage {
        let most = limits.max_storage_buffers_per_shader_stage;
        let message = format!(
            "traced it binds {bindings} storage buffers, and {} has {most}",
            engine.name()
        );
        return Err(failed(&message));
    }
    let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
    let expect = |what: &str, bytes: u64| match bytes > most {
        true => Err(failed(&format!(
            "{what} of its workgroup take {bytes} bytes, and {} binds {most}",
            engine.name()
        ))),
        false => Ok(()),
    };
    for own in &dispatch.bindings {
        expect(&format!("the windows of {}", own.slot.name()), own.size)?;
    }

    let scope = gpu.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = gpu.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("traced"),
        source: wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(module)),
    });
    let pipeline = gpu.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("traced"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let buffer = |bytes: &[u8], usage: wgpu::BufferUsages| {
        let buffer = gpu.create_buffer(&wgpu::BufferDescriptor {
            label: Some("traced"),
            size: (bytes.len() as u64).next_multiple_of(16),
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        queue.write_buffer(&buffer, 0, bytes);
        buffer
    };
    let params = buffer(&dispatch.params, wgpu::BufferUsages::UNIFORM);
    let bound: Vec<wgpu::Buffer> = dispatch
        .bindings
        .iter()
        .map(|own| {
            let held = match own.slot == Slot::Target {
                true => labels(own.size, own.element, classes),
                false => vec![0; own.size.next_multiple_of(4) as usize],
            };
            buffer(&held, wgpu::BufferUsages::STORAGE)
        })
        .collect();

    let mut room = RECORDS_AT_FIRST;
    let lanes = loop {
        let size = room * u64::from(width) * 8;
        expect("the records", size)?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let made = |usage| {
            gpu.create_buffer(&wgpu::BufferDescriptor {
                label: Some("records"),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let records = made(usage);
        let host = made(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        // What no branch uses is not in the layout.
        let uses = |slot: Slot| used.iter().any(|own| own.binding.binding == slot as u32);
        let own = dispatch.bindings.iter().zip(&bound).filter(|(own, _)| uses(own.slot));
        let entries: Vec<_> = [entry(Slot::Params as u32, &params), entry(RECORDS, &records)]
            .into_iter()
            .chain(own.map(|(own, buffer)| entry(own.slot as u32, buffer)))
            .collect();
        let group = gpu.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("traced"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut encoder = gpu.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x, y, 1);
        drop(pass);
        encoder.copy_buffer_to_buffer(&records, 0, &host, 0, size);
        queue.submit([encoder.finish()]);
        host.map_async(wgpu::MapMode::Read, .., |_| {});
        gpu.poll(wgpu::PollType::wait_indefinitely())
            .map_err(|error| failed(&error))?;
        let mapped = host.get_mapped_range(..).map_err(|error| failed(&error))?;
        let words: &[u32] = bytemuck::cast_slice(&mapped);
        let parts: Vec<&[u32]> = words.chunks(2 * room as usize).collect();
        let longest = parts.iter().map(|own| u64::from(own[0])).max().unwrap_or_default();
        if longest < room {
            let of_lane = |own: &&[u32]| {
                let records = own[2..].chunks(2).take(own[0] as usize);
                records.map(|own| (own[0], u64::from(own[1]))).collect()
            };
            break parts.iter().map(of_lane).collect::<Vec<Vec<(u32, u64)>>>();
        }
        room = longest + 1;
    };
    if let Some(error) = super::caught(scope) {
        return Err(failed(&error));
    }
    // Sectors lie where the binding does.
    let at = |binding: u32| dispatch.bindings.iter().find(|own| own.slot as u32 == binding);
    let place = |(site, address): (u32, u64)| {
        let own = sites.get(site as usize).ok_or_else(|| {
            let known = sites.len();
            failed(&format!("the adapter tells of place {site}, and there are {known}"))
        })?;
        Ok((site, address + at(own.binding).map_or(0, |own| own.offset)))
    };
    let placed = |own: Vec<(u32, u64)>| own.into_iter().map(place).collect::<Result<Vec<_>, Failure>>();
    let lanes = lanes.into_iter().map(placed).collect::<Result<Vec<_>, Failure>>()?;
    Ok(tallies(&sites, &lanes, |binding| {
        at(binding).map_or(4, |own| own.element)
    }))
}

/// Integers below `classes`, scattered.
fn labels(size: u64, element: u64, classes: u64) -> Vec<u8> {
    let count = size / element.max(1);
    let mut bytes: Vec<u8> = (0..count)
        .flat_map(|nth| {
            let scattered = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            let label = scattered % classes.max(1);
            label.to_le_bytes().into_iter().take(element as usize)
        })
        .collect();
    bytes.resize(size.next_multiple_of(4) as usize, 0);
    bytes
}

fn entry(binding: u32, buffer: &wgpu::Buffer) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: buffer.as_entire_binding(),
    }
}

#[cfg(test)]
mod tests {
    use wgloss::Role;
    use wgloss::plan::{Binding, Origin};
    use wgloss::shader::{Piece, Variant};

    use super::*;

    /// What lanes see of a kernel of 64, which has `input` and `grad_input`: of reads, and of writes.
    fn seen(main: &'static str, element: u64) -> Option<[f64; 2]> {
        let Ok(engine) = Engine::new() else {
            eprintln!("skipped: no adapter");
            return None;
        };
        let command = super::super::super::plan::command();
        let matches = command.try_get_matches_from(["plan", "mse", "--shape", "4"]).unwrap();
        let device = Device::named(matches.subcommand().unwrap().1).unwrap();
        let declared = "@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(7) var<storage, read_write> grad_input: array<u32>;

fn input1(i: u32) -> u32 {
    return input[i >> 1u] >> (16u * (i & 1u));
}
";
        let piece = |path, text| Piece {
            path,
            text,
            operand: None,
            consts: &[],
        };
        let binding = |slot, written| Binding {
            slot,
            source: Origin::Tensor(Role::Input),
            offset: 0,
            size: 1 << 16,
            own: (0, 1 << 16),
            touched: 1 << 16,
            moved: 0,
            element,
            written,
        };
        let dispatch = Dispatch {
            variant: Variant {
                label: "own".into(),
                consts: Vec::new(),
                pieces: vec![piece("own/declared.wgsl", declared), piece("own/main.wgsl", main)],
                shared: Vec::new(),
            },
            params: vec![0; 16],
            bindings: vec![binding(Slot::Input, false), binding(Slot::GradInput, true)],
            groups: [5, 1],
            iterations: 0,
            tiles: (0, 5),
            multiply_adds: 0,
        };
        let all = run(&engine, &dispatch, &device, 1).unwrap();
        let of = |slot, written| {
            let tally: Tally = all[&(slot as u32, written)];
            tally.efficiency().unwrap()
        };
        Some([of(Slot::Input, false), of(Slot::GradInput, true)])
    }

    /// A main function around lines, with `i` the number of the invocation.
    macro_rules! kernel {
        ($lines:literal) => {
            concat!(
                "@group(0) @binding(0) var<uniform> uniforms: vec4<u32>;\n",
                "@compute @workgroup_size(64)\n",
                "fn main(@builtin(global_invocation_id) id: vec3<u32>) {\n",
                "    let i = id.x + uniforms.x;\n",
                $lines,
                "}\n"
            )
        };
    }

    #[test]
    fn kernels_of_known_efficiency() {
        let copied = kernel!("    grad_input[i] = input[i];\n");
        let Some(found) = seen(copied, 4) else { return };
        assert_eq!(found, [1.0, 1.0]);
        let strided = kernel!("    grad_input[8u * i] = input[i];\n");
        assert_eq!(seen(strided, 4), Some([1.0, 0.125]));
        // Every second word.
        let gaps = kernel!("    grad_input[i] = input[2u * i];\n");
        assert_eq!(seen(gaps, 4), Some([0.5, 1.0]));
        // Four turns, of a quad each lane.
        let quads = kernel!(
            "    for (var k = 0u; k < 4u; k++) {\n        grad_input[64u * k + i] = input[4u * i + k];\n    }\n"
        );
        assert_eq!(seen(quads, 4), Some([0.25, 1.0]));
        // Lanes part, and each way is a turn of its own: the same place in a function, called from two.
        let parted = kernel!(
            "    if (i % 2u == 0u) {\n        grad_input[i] = input1(2u * i);\n    } else {\n        \
             grad_input[i] = input1(2u * i);\n    }\n"
        );
        assert_eq!(seen(parted, 4), Some([0.5, 0.5]));
        // Halves of words: neighbours want all of a sector, others two bytes each.
        let halves = kernel!("    grad_input[i] = input1(i);\n");
        assert_eq!(seen(halves, 2), Some([1.0, 1.0]));
        let apart = kernel!("    grad_input[i] = input1(16u * i);\n");
        assert_eq!(seen(apart, 2), Some([0.0625, 1.0]));
    }
}
