//! What a steady call takes from the host's allocator. In a binary of its own, since all of one have the same
//! allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wgloss::{
    BceWithLogits, Call, CrossEntropy, Engine, GradTo, Loss, Mode, Mse, Nll, Output, Reduction, Role, Softmax, Stats,
    Tensor, TripletMargin,
};

/// The system's, counted by thread.
struct Counting;

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });
thread_local!(static LARGEST: Cell<usize> = const { Cell::new(0) });

fn one_more(bytes: usize) {
    // Not where the thread is ending.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: every method is the system allocator's own; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        one_more(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        one_more(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.get();
    let made = work();
    (COUNT.get() - before, made)
}

/// Bytes of the largest piece of memory that was taken meanwhile.
fn largest<T>(work: impl FnOnce() -> T) -> (usize, T) {
    LARGEST.set(0);
    let made = work();
    (LARGEST.get(), made)
}

fn engine() -> Engine {
    let name = std::env::var("WGLOSS_TEST_ADAPTER").unwrap_or_default();
    Engine::open(&name).unwrap_or_else(|error| panic!("the tests need a GPU adapter, a software one at least: {error}"))
}

/// What wgpu itself takes to record and submit so many dispatches, and copies behind them, in the way of a call: none
/// is an empty pass.
struct Bare {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    buffers: [wgpu::Buffer; 2],
}

impl Bare {
    fn new(device: &wgpu::Device) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(
                "@group(0) @binding(0) var<storage, read_write> x: array<u32>; \
                 @compute @workgroup_size(1) fn main() { x[0] += 1u; }"
                    .into(),
            ),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let usage = [
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        ];
        let buffers = usage.map(|usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 64,
                usage,
                mapped_at_creation: false,
            })
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: buffers[0].as_entire_binding(),
            }],
        });
        Self {
            pipeline,
            group,
            buffers,
        }
    }

    fn submit(&self, device: &wgpu::Device, queue: &wgpu::Queue, dispatches: u64, copies: u64) {
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for _ in 0..dispatches {
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        drop(pass);
        for nth in 0..copies {
            encoder.copy_buffer_to_buffer(&self.buffers[0], 0, &self.buffers[1], 16 * nth, 16);
        }
        queue.submit([encoder.finish()]);
    }
}

fn wait(device: &wgpu::Device) {
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
}

/// The most that a call takes once it has been made a few times, beyond wgpu's own for as many dispatches and copies,
/// and beyond an empty pass and its submission.
fn steady(engine: &Engine, bare: &Bare, copies: u64, call: impl Fn() -> Output) -> (u64, u64) {
    let (device, queue) = engine.wgpu().unwrap();
    let dispatched = || engine.activity().unwrap().dispatches;
    let mut most = (0, 0);
    for turn in 0..20 {
        let before = dispatched();
        let (own, output) = counted(&call);
        let dispatches = dispatched() - before;
        wait(device);
        drop(output);
        let (same, ()) = counted(|| bare.submit(device, queue, dispatches, copies));
        wait(device);
        let (empty, ()) = counted(|| bare.submit(device, queue, 0, 0));
        wait(device);
        if turn >= 4 {
            most = (
                most.0.max(own.saturating_sub(same)),
                most.1.max(own.saturating_sub(empty)),
            );
        }
    }
    most
}

/// Fewer than 20 that are not wgpu's, which for a pass of three dispatches itself takes about 17 more than for an empty
/// one. Where results lie in memory of the caller's, or are small: a large new one is a new buffer, in new bind groups.
#[test]
fn a_steady_call_takes_few_allocations() {
    let engine = engine();
    let bare = Bare::new(engine.wgpu().unwrap().0);
    let up = |tensor: Tensor| engine.upload(&tensor).unwrap();
    let numbers = |n: usize| (0..n).map(|i| (i % 17) as f32 / 17.0).collect::<Vec<_>>();
    let (ce, bce, mse) = (CrossEntropy::default(), BceWithLogits::default(), Mse::default());
    for (rows, new) in [(64, false), (64, true), (640, false)] {
        let shape = [rows, 100];
        let [x, t, grad] = [(); 3].map(|()| up(Tensor::new(&numbers(rows * 100), &shape).unwrap()));
        let labels = up(Tensor::new(&vec![3i64; rows], &[rows]).unwrap());
        let list: [(&dyn Loss, [&Tensor; 2]); 3] = [(&ce, [&x, &labels]), (&bce, [&x, &t]), (&mse, [&x, &t])];
        for (loss, tensors) in list {
            for mode in Mode::ALL {
                let call = Call {
                    grad_input: match new || !mode.wants_grad() {
                        true => GradTo::New,
                        false => GradTo::Into(&grad),
                    },
                    ..Call::new(mode, &tensors)
                };
                // The small results, the counts of class targets among them.
                let copies = [
                    mode.wants_loss(),
                    mode.wants_grad() && new,
                    loss.info().name == "cross_entropy",
                ];
                let copies = copies.into_iter().map(u64::from).sum();
                let (ours, all) = steady(&engine, &bare, copies, || loss.run(&engine, &call).unwrap());
                let place = if new { "a new gradient" } else { "the caller's gradient" };
                let what = format!(
                    "{} {} of {rows} rows, {place}: {ours} allocations of ours, {all} beyond an empty pass",
                    loss.info().name,
                    mode.name()
                );
                println!("{what}");
                assert!(ours < 20 && all < 40, "{what}");
            }
        }
    }
}

/// A call on the processor takes memory for its results and for each thread's scratch, not for rows or elements: of one
/// thread, which is the one that counts, as much for a thousand times as many.
#[test]
fn calls_on_the_processor_allocate_as_much_for_many_rows_as_for_few() {
    let engine = Engine::cpu();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    let pool = pool.build().unwrap();
    let ones = |shape: &[usize]| Tensor::new(&vec![1f32; shape.iter().product()], shape).unwrap();
    let classes = |shape: &[usize]| Tensor::new(&vec![1i64; shape.iter().product()], shape).unwrap();
    let weighted = BceWithLogits {
        weight: Some(ones(&[8])),
        ..Default::default()
    };
    let smooth = CrossEntropy {
        label_smoothing: 0.1,
        reduction: Reduction::None,
        ..Default::default()
    };
    let taken = |rows: usize| -> Vec<(&'static str, u64)> {
        let (flat, image) = ([rows, 8], [1, 8, rows]);
        let calls: [(&dyn Loss, Vec<Tensor>, Vec<Role>); 8] = [
            (&CrossEntropy::default(), vec![ones(&flat), classes(&[rows])], vec![]),
            (&smooth, vec![ones(&image), classes(&[1, rows])], vec![]),
            (
                &CrossEntropy::default(),
                vec![ones(&flat), ones(&flat)],
                vec![Role::Target],
            ),
            (&Nll::default(), vec![ones(&flat), classes(&[rows])], vec![]),
            (&Softmax::default(), vec![ones(&flat)], vec![]),
            (&weighted, vec![ones(&flat), ones(&flat)], vec![Role::Target]),
            (&Mse::default(), vec![ones(&flat), ones(&[8])], vec![Role::Target]),
            (
                &TripletMargin::default(),
                vec![ones(&flat), ones(&flat), ones(&flat)],
                vec![],
            ),
        ];
        let taken = calls.into_iter().map(|(loss, tensors, grads)| {
            let stats = Stats {
                lse: loss.info().statistics,
                argmax: loss.info().statistics,
                ..Default::default()
            };
            let call = Call {
                grads,
                stats,
                ..Call::new(Mode::Fused, &tensors.iter().collect::<Vec<_>>())
            };
            let (taken, output) = counted(|| pool.install(|| loss.run(&engine, &call)));
            assert!(output.unwrap().grad_input.is_some());
            (loss.info().name, taken)
        });
        taken.collect()
    };
    taken(16); // whatever is allocated but once
    assert_eq!(taken(16), taken(16_000));
}

/// The function forms read slices, and views of arrays, where they lie: nothing of their size is allocated on the host.
#[test]
fn functional_forms_copy_nothing_on_the_host() {
    const ROWS: usize = 200_000; // more than the reference takes scratch for
    let (x, t) = (vec![0.5f32; 10 * ROWS], vec![3i64; ROWS]);
    let bytes = 8 * ROWS; // of the labels, which are the smaller
    let options = CrossEntropy::default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    let pool = pool.build().unwrap();
    for engine in [Engine::cpu(), engine()] {
        let slices = || {
            wgloss::functional::cross_entropy(&engine, (&x[..], [ROWS, 10]), (&t[..], [ROWS]), &options, Mode::Forward)
        };
        pool.install(slices).unwrap(); // pipelines are compiled once
        let (largest_of_slices, values) = largest(|| pool.install(slices));
        assert!(values.unwrap().scalar().is_some());
        println!("{}: {largest_of_slices} bytes at once", engine.name());
        assert!(
            largest_of_slices < bytes,
            "{}: {largest_of_slices} bytes at once",
            engine.name()
        );
        #[cfg(feature = "ndarray")]
        {
            use ndarray::{Array1, Array2};
            let of = |x: &Array2<f32>, t: &Array1<i64>| {
                let (x, t) = (x.view(), t.view());
                largest(|| pool.install(|| wgloss::functional::cross_entropy(&engine, x, t, &options, Mode::Forward))).0
            };
            let xs = Array2::from_shape_vec((ROWS, 10), x.clone()).unwrap();
            let ts = Array1::from(t.clone());
            let of_views = of(&xs, &ts);
            assert!(of_views < bytes, "{}: {of_views} bytes at once", engine.name());
            // Columns that lie apart are brought together first: once, and that is seen here.
            let apart = Array2::from_shape_vec((10, ROWS), x.clone()).unwrap().reversed_axes();
            let of_columns = of(&apart, &ts);
            assert!(of_columns >= 40 * ROWS, "{of_columns}");
            // An owned array is its tensor's memory, and so is a vector.
            let (taken, tensor) = largest(|| Tensor::try_from(xs));
            assert!(taken < bytes && tensor.is_ok(), "{taken}");
        }
    }
    let (taken, tensor) = largest(|| Tensor::from_vec(x, &[ROWS, 10]));
    assert!(taken < bytes && tensor.is_ok(), "{taken}");
    let (taken, _) = largest(|| Tensor::new(&t, &[ROWS]));
    assert!(taken >= bytes, "{taken}");
}
