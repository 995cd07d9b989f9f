//! The adapter under test: an engine on it, and raw kernels on the engine's device.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use wgloss::Engine;

/// An entry point of a file of `kernels/`.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// The file's stem.
    pub file: &'static str,
    pub text: &'static str,
    pub entry: &'static str,
}

/// A kernel by its file's stem and its entry point.
macro_rules! kernel {
    ($file:literal, $entry:literal) => {
        $crate::qualify::lab::Kernel {
            file: $file,
            text: include_str!(concat!("kernels/", $file, ".wgsl")),
            entry: $entry,
        }
    };
}
pub(super) use kernel;

/// What a kernel binds of a buffer.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    pub buffer: &'a wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
}

impl<'a> Window<'a> {
    pub fn whole(buffer: &'a wgpu::Buffer) -> Self {
        Self {
            buffer,
            offset: 0,
            bytes: buffer.size(),
        }
    }
}

pub struct Lab {
    pub engine: Engine,
    /// What the command line calls the adapter, for others like it.
    pub adapter: String,
    /// Of the largest window that is tried.
    pub most: u64,
    pub device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: RefCell<HashMap<(&'static str, &'static str), wgpu::ComputePipeline>>,
}

const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

impl Lab {
    /// # Errors
    /// [`wgloss::Error::NoAdapter`] and others of [`Engine::open`].
    pub fn open(adapter: &str, most: Option<u64>) -> wgloss::Result<Self> {
        let engine = Engine::open(adapter)?;
        let opened = engine.wgpu().map(|(device, queue)| (device.clone(), queue.clone()));
        let (device, queue) = opened.ok_or_else(|| wgloss::Error::Device("the engine has no device".into()))?;
        Ok(Self {
            most: most.unwrap_or(match device.adapter_info().device_type {
                // Whose memory is the host's, and is touched byte by byte where it is new.
                wgpu::DeviceType::Cpu => 256 << 20,
                _ => u64::MAX,
            }),
            engine,
            adapter: adapter.into(),
            device,
            queue,
            pipelines: RefCell::default(),
        })
    }

    pub fn info(&self) -> wgpu::AdapterInfo {
        self.device.adapter_info()
    }

    pub fn is_software(&self) -> bool {
        self.info().device_type == wgpu::DeviceType::Cpu
    }

    /// Another engine on the same adapter.
    pub fn another(&self) -> Result<Engine, String> {
        Engine::open(&self.adapter).map_err(|error| error.to_string())
    }

    /// A buffer of words.
    pub fn buffer(&self, words: &[u32]) -> Result<wgpu::Buffer, String> {
        let buffer = self.zeros(4 * words.len().max(1) as u64)?;
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        Ok(buffer)
    }

    pub fn zeros(&self, bytes: u64) -> Result<wgpu::Buffer, String> {
        self.guarded("a buffer", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes,
                usage: USAGE,
                mapped_at_creation: false,
            })
        })
    }

    /// A uniform buffer that holds `words` from a byte on.
    pub fn uniforms(&self, words: &[u32], offset: u64) -> Result<wgpu::Buffer, String> {
        let buffer = self.guarded("a uniform buffer", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: offset + 4 * words.len() as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })?;
        self.queue.write_buffer(&buffer, offset, bytemuck::cast_slice(words));
        Ok(buffer)
    }

    /// Runs a kernel on its params at binding 0 and the windows at those that follow.
    pub fn dispatch(
        &self,
        kernel: Kernel,
        params: &Window<'_>,
        windows: &[Window<'_>],
        groups: [u32; 3],
    ) -> Result<(), String> {
        let all = std::iter::once(params).chain(windows).copied();
        self.dispatch_at(kernel, &(0..).zip(all).collect::<Vec<_>>(), groups)
    }

    /// Runs a kernel on windows at bindings.
    pub fn dispatch_at(&self, kernel: Kernel, windows: &[(u32, Window<'_>)], groups: [u32; 3]) -> Result<(), String> {
        let pipeline = self.pipeline(kernel)?;
        self.guarded(kernel.entry, || {
            let entries: Vec<wgpu::BindGroupEntry<'_>> = windows
                .iter()
                .map(|&(binding, own)| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: own.buffer,
                        offset: own.offset,
                        size: wgpu::BufferSize::new(own.bytes),
                    }),
                })
                .collect();
            let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
            let mut encoder = self.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
            }
            self.queue.submit([encoder.finish()]);
        })
    }

    /// Runs a kernel on params and inputs, and gives the words of its last binding, its output.
    pub fn run(
        &self,
        kernel: Kernel,
        params: [u32; 4],
        inputs: &[&[u32]],
        output: usize,
        groups: [u32; 3],
    ) -> Result<Vec<u32>, String> {
        let params = self.uniforms(&params, 0)?;
        let mut buffers = Vec::new();
        for words in inputs {
            buffers.push(self.buffer(words)?);
        }
        buffers.push(self.zeros(4 * output as u64)?);
        let windows: Vec<Window<'_>> = buffers.iter().map(Window::whole).collect();
        self.dispatch(kernel, &Window::whole(&params), &windows, groups)?;
        match buffers.last() {
            Some(last) => self.read(last, 0, output),
            None => Ok(Vec::new()),
        }
    }

    /// Words of a buffer from a byte on.
    pub fn read(&self, buffer: &wgpu::Buffer, offset: u64, words: usize) -> Result<Vec<u32>, String> {
        let bytes = 4 * words as u64;
        let staging = self.guarded("a readback", || {
            let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
            self.queue.submit([encoder.finish()]);
            staging
        })?;
        let told = Arc::new(Mutex::new(None));
        let heard = Arc::clone(&told);
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        });
        let waited = self.device.poll(wgpu::PollType::Wait {
            submission_index: None,
            timeout: None,
        });
        waited.map_err(|error| error.to_string())?;
        match told.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("a readback never came".into()),
        }
        let view = staging.get_mapped_range(..);
        let view = view.map_err(|error| error.to_string())?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    fn pipeline(&self, kernel: Kernel) -> Result<wgpu::ComputePipeline, String> {
        let key = (kernel.file, kernel.entry);
        if let Some(pipeline) = self.pipelines.borrow().get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.guarded(kernel.file, || {
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.file),
                source: wgpu::ShaderSource::Wgsl(kernel.text.into()),
            });
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(kernel.entry),
                layout: None,
                module: &module,
                entry_point: Some(kernel.entry),
                compilation_options: Default::default(),
                cache: None,
            })
        })?;
        self.pipelines.borrow_mut().insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// What wgpu reports meanwhile is an error.
    fn guarded<T>(&self, what: &str, run: impl FnOnce() -> T) -> Result<T, String> {
        let filters = [
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
        ];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let made = run();
        // The last pushed goes first.
        let mut found = None;
        for scope in scopes.into_iter().rev() {
            found = found.or(at_hand(scope.pop()).flatten());
        }
        found.map_or(Ok(made), |error| Err(format!("{what}: {error}")))
    }
}

/// What a future comes to that native backends have ready when it is made.
fn at_hand<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
