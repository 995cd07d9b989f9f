//! The engine under test. The environment chooses it, so that the whole suite runs on another adapter or on less of
//! one: `WGLOSS_TEST_ADAPTER=NAME` asks for an adapter by name, `WGLOSS_TEST_LIMITS=webgpu` for no more than every
//! browser gives. A test that fails says which it was.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wgloss::{Engine, Limits, Tuning};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// An engine that opened its device itself, with all its limits: for a test of what such an engine hears of its device.
pub fn opened() -> Engine {
    Engine::open(&variable("WGLOSS_TEST_ADAPTER"))
        .unwrap_or_else(|error| panic!("the tests need a GPU adapter, a software one at least: {error}"))
}

/// The engine under test once more: for a test that changes it, or needs two.
pub fn fresh() -> Engine {
    match variable("WGLOSS_TEST_LIMITS").as_str() {
        "" => opened(),
        "webgpu" => {
            let (device, queue) = webgpu_device();
            Engine::from_wgpu(device, queue)
        }
        other => panic!("WGLOSS_TEST_LIMITS={other}, expected webgpu or nothing"),
    }
}

/// The adapter as a browser gives it: WebGPU's default limits and no optional feature. What wgpu finds wrong on such a
/// device panics, since nobody handles it.
pub fn webgpu_device() -> (wgpu::Device, wgpu::Queue) {
    // One instance for all, as wgloss has: wgpu tells devices apart within an instance.
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let backends = wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY);
    let instance = INSTANCE.get_or_init(|| {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        wgpu::Instance::new(descriptor)
    });
    let engine = opened();
    let adapter = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .find(|adapter| Some(&adapter.get_info()) == engine.adapter_info())
        .expect("the adapter that wgloss opens");
    let descriptor = wgpu::DeviceDescriptor {
        required_features: wgpu::Features::empty(),
        required_limits: wgpu::Limits::default(),
        ..Default::default()
    };
    pollster::block_on(adapter.request_device(&descriptor)).unwrap()
}

/// `SwiftShader Device (Subzero) (Vulkan, Cpu), WebGPU's default limits`
pub fn describe(engine: &Engine) -> String {
    let limits = match variable("WGLOSS_TEST_LIMITS").as_str() {
        "" => "all its limits",
        _ => "WebGPU's default limits",
    };
    format!("{}, {limits}", engine.name())
}

/// The GPU engine of the whole run.
pub fn gpu() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let engine = fresh();
        let under_test = describe(&engine);
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            eprintln!("\nengine under test: {under_test}");
            usual(panic);
        }));
        engine
    })
}

/// The same adapter, its work cut as for a hardware one: wide workgroups, 64 rows to a tile of lanes.
pub fn hardware() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut engine = fresh();
        engine.set_tuning(Tuning::HARDWARE).unwrap();
        engine
    })
}

/// A GPU engine for calls that leave nothing on its device. Sweeps compile thousands of pipelines, of some MB each on a
/// software adapter: an engine that has compiled many makes room for a new one, and goes with its last call.
pub fn passing() -> Arc<Engine> {
    in_turn(None)
}

/// The same, its work cut in another way than for the adapter.
pub fn passing_tuned(tuning: Tuning) -> Arc<Engine> {
    in_turn(Some(tuning))
}

/// Pipelines after which an engine makes room for a new one.
const MOST_PIPELINES: u64 = 80;

/// A new engine in place of one that has compiled many pipelines, for a test that counts what its own calls do.
pub fn make_room(engine: &mut Engine) {
    if engine.activity().unwrap().pipelines >= MOST_PIPELINES {
        *engine = fresh();
    }
}

fn in_turn(tuning: Option<Tuning>) -> Arc<Engine> {
    type Own = (Option<Tuning>, Arc<Engine>);
    static ENGINES: Mutex<Vec<Own>> = Mutex::new(Vec::new());
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    engines.retain(|(own, engine)| *own != tuning || engine.activity().unwrap().pipelines < MOST_PIPELINES);
    if let Some((_, engine)) = engines.iter().find(|(own, _)| *own == tuning) {
        return Arc::clone(engine);
    }
    let mut engine = fresh();
    if let Some(tuning) = tuning {
        engine.set_tuning(tuning).unwrap();
    }
    let engine = Arc::new(engine);
    engines.push((tuning, Arc::clone(&engine)));
    engine
}

/// Limits of small bindings, under which little data is cut into many pieces.
fn small(engine: &Engine, max_binding_bytes: u64) -> Limits {
    Limits {
        max_binding_bytes,
        offset_alignment: 256,
        max_groups: 100,
        ..engine.plan_limits().unwrap()
    }
}

/// An engine of its own under such limits.
pub fn cut(max_binding_bytes: u64) -> Engine {
    let mut engine = fresh();
    engine.set_plan_limits(small(&engine, max_binding_bytes)).unwrap();
    engine
}

/// An engine of its own that computes under its own limits and under small ones with the same pipelines.
pub struct Both {
    engine: Engine,
    limits: [Limits; 2],
    is_cut: bool,
}

impl Both {
    pub fn new(max_binding_bytes: u64) -> Self {
        let engine = fresh();
        let limits = [engine.plan_limits().unwrap(), small(&engine, max_binding_bytes)];
        Self {
            engine,
            limits,
            is_cut: false,
        }
    }

    pub fn whole(&mut self) -> &Engine {
        self.under(false)
    }

    pub fn cut(&mut self) -> &Engine {
        self.under(true)
    }

    /// What is kept for calls to come goes where limits change.
    fn under(&mut self, is_cut: bool) -> &Engine {
        if self.is_cut != is_cut {
            self.engine.set_plan_limits(self.limits[usize::from(is_cut)]).unwrap();
            self.is_cut = is_cut;
        }
        &self.engine
    }
}

/// The run is of what it says: a device held to WebGPU's limits has them, and no feature.
#[test]
fn the_engine_under_test_is_what_was_asked_for() {
    let (device, _) = gpu().wgpu().unwrap();
    let adapter = variable("WGLOSS_TEST_ADAPTER").to_lowercase();
    assert!(gpu().name().to_lowercase().contains(&adapter));
    match variable("WGLOSS_TEST_LIMITS").as_str() {
        "" => assert!(device.limits().max_storage_buffer_binding_size >= 128 << 20),
        _ => {
            assert_eq!(device.limits(), wgpu::Limits::default());
            assert_eq!(device.features(), wgpu::Features::empty());
            let limits = gpu().plan_limits().unwrap();
            assert_eq!((limits.max_binding_bytes, limits.offset_alignment), (128 << 20, 256));
        }
    }
    println!("{}", describe(gpu()));
}
