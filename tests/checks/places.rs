//! The place of the first: the same under any cut, and beyond 32 bits.

use wgloss::layout::{ElementParams, Fault, ReduceParams, Slot};
use wgloss::plan::plan;
use wgloss::problem::Problem;
use wgloss::{Bce, Checks, Dtype, Engine, Limits, Loss, Mode, Tensor, Tuning, View};

use super::{STRICT, checked, engines, look, tensor};
use crate::common::data::Data;
use crate::common::plans::{DEFAULT_LIMITS, SMALL};
use crate::common::{bits, engine, gpu};

/// A tiny engine's dispatches find what one dispatch finds, and change no bit of the results.
#[test]
fn cutting_finds_the_same() {
    let mut whole = engine::fresh();
    whole.set_tuning(SMALL).unwrap();
    let cut = engines()[2];
    let len = 30_011;
    let mut data = Data::new(21);
    let (mut x, t) = (data.uniform(len, 0.0, 1.0), data.targets(len));
    for at in [29_000, 20_000, 12_288, 12_287, 6143] {
        x[at] = -1.0;
        let (x, t) = (tensor(&x, &[len], Dtype::F32), tensor(&t, &[len], Dtype::F32));
        for (input, target, checks) in [(&x, &t, Checks::default()), (&t, &x, STRICT)] {
            let call = checked(Mode::Fused, &[input, target], checks);
            let steps = |engine: &Engine| {
                let problem = Bce::default().problem(&call).unwrap();
                plan(&problem, &engine.plan_limits().unwrap(), &SMALL)
                    .unwrap()
                    .dispatches()
                    .count()
            };
            assert!(steps(cut) > steps(&whole) + 2);
            let (ours, theirs) = (look(cut, &Bce::default(), &call), look(&whole, &Bce::default(), &call));
            assert_eq!(ours.0, theirs.0);
            assert!(bits(&ours.1) == bits(&theirs.1), "bits");
            assert_eq!(ours.0.unwrap().first, [at]);
        }
    }
}

/// Elements beyond 2^32 have their places: those that dispatches begin at are of 64 bits, in one run and in tiles of
/// rows.
#[test]
fn places_have_64_bits() {
    let roomy = Limits {
        max_binding_bytes: 1 << 30,
        max_buffer_bytes: 1 << 40,
        ..DEFAULT_LIMITS
    };
    let huge = |loss: &dyn Loss, tensors: &[&Tensor], shape: &[usize]| -> Problem {
        let mut problem = loss.problem(&checked(Mode::Forward, tensors, STRICT)).unwrap();
        problem.terms = shape.to_vec();
        for operand in &mut problem.operands {
            operand.view = View::contiguous(Dtype::F16, shape);
        }
        problem
    };
    let small = tensor(&[0.5; 4], &[2, 2], Dtype::F16);
    for shape in [&[3, 1 << 31][..], &[1 << 33]] {
        let len: u64 = shape.iter().map(|&n| n as u64).product();
        let problem = huge(&Bce::default(), &[&small, &small], shape);
        let plan = plan(&problem, &roomy, &Tuning::HARDWARE).unwrap();
        let (mut elements, mut items) = (0, 0);
        for dispatch in plan.dispatches() {
            let label = &dispatch.variant.label;
            let input = dispatch.bindings.iter().find(|own| own.slot == Slot::Input);
            let bytes = input.map_or(0, |own| own.offset);
            let place = |words: [u32; 2]| u64::from(words[0]) | u64::from(words[1]) << 32;
            if label.starts_with("bce/") {
                let params: ElementParams = bytemuck::pod_read_unaligned(&dispatch.params);
                assert_eq!(place(params.first_place), bytes / 2 + u64::from(params.base[0]));
                elements += u64::from(place(params.first_place) >= 1 << 32);
            } else if label.starts_with("inspect_unit_no_nan/f16") {
                let params: ReduceParams = bytemuck::pod_read_unaligned(&dispatch.params);
                let first = place(params.first_place);
                assert_eq!(
                    (first as u32, bytes / 2 + u64::from(params.base)),
                    (params.first_item, first)
                );
                let tile: u64 = label.rsplit_once("/tile").unwrap().1.parse().unwrap();
                assert_eq!(params.first_item, params.first_tile.wrapping_mul(tile as u32));
                let end = (dispatch.tiles.1 * tile).min(len);
                assert_eq!(
                    params.len, end as u32,
                    "items up to the end of the dispatch, modulo 2^32"
                );
                items += u64::from(first >= 1 << 32);
            }
        }
        assert!(elements > 1 && items > 1, "{elements} {items}");
    }
}

/// And are carried over in the shader: a dispatch of a plan, told that it begins elsewhere.
#[test]
fn places_carry() {
    let (device, queue) = gpu().wgpu().unwrap();
    let mut x = vec![0.5f32; 300];
    (x[201], x[255]) = (-1.0, 2.0);
    let target = tensor(&x, &[300], Dtype::F32);
    let input = tensor(&[0.5; 300], &[300], Dtype::F32);
    let problem = Bce::default()
        .problem(&checked(Mode::Forward, &[&input, &target], STRICT))
        .unwrap();
    let plan = plan(&problem, &DEFAULT_LIMITS, &Tuning::SOFTWARE).unwrap();
    let dispatch = plan
        .dispatches()
        .find(|own| own.variant.label.starts_with("inspect_"))
        .unwrap();
    for first in [0u64, (1 << 32) - 201, (1 << 32) - 200, (7 << 32) - 202, 5 << 32] {
        let mut params: ReduceParams = bytemuck::pod_read_unaligned(&dispatch.params);
        params.first_place = [first as u32, (first >> 32) as u32];
        let buffer = |bytes: &[u8], usage| {
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes.len() as u64,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            queue.write_buffer(&buffer, 0, bytes);
            buffer
        };
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let buffers = [
            (
                Slot::Params,
                buffer(bytemuck::bytes_of(&params), wgpu::BufferUsages::UNIFORM),
            ),
            (Slot::Input, buffer(bytemuck::cast_slice(&x), storage)),
            (Slot::Result, buffer(&[0; 16], storage)),
        ];
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(dispatch.variant.compose().text.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = buffers
            .iter()
            .map(|(slot, buffer)| wgpu::BindGroupEntry {
                binding: *slot as u32,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        queue.submit([encoder.finish()]);
        let words = Tensor::from_buffer(gpu(), buffers[2].1.clone(), 0, Dtype::U32, &[4], None).unwrap();
        let words = words.read::<u32>(gpu()).unwrap();
        let fault: Fault = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words));
        assert_eq!(
            (fault.count, fault.place(), f32::from_bits(fault.bits)),
            (2, first + 201, -1.0)
        );
    }
}
