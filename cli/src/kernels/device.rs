//! The device that kernels are shown for: a class of adapters, limits and a size of subgroups, none of which is looked
//! for.

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgMatches};
use serde_json::{Map, Value, json};
use wgloss::Limits;
use wgloss::tuning::{Class, Tuning};
use wgloss_shell::Failure;

#[derive(Clone, Copy)]
pub struct Device {
    /// The words on the command line.
    class_word: &'static str,
    f16_word: &'static str,
    limits_word: &'static str,
    pub limits: Limits,
    pub tuning: Tuning,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u64,
}

const CLASSES: [(&str, Class); 4] = [
    ("discrete", Class::Discrete),
    ("integrated", Class::Integrated),
    ("software8", Class::Software8),
    ("software4", Class::Software4),
];

/// How f16 becomes f32 and back: the word, what it means, and whether WGSL's own functions read and write.
const CONVERSIONS: [(&str, &str, [bool; 2]); 4] = [
    ("integer", "by integer arithmetic", [false, false]),
    (
        "unpack",
        "read by unpack2x16float, written by integer arithmetic",
        [true, false],
    ),
    (
        "pack",
        "read by integer arithmetic, written by pack2x16float",
        [false, true],
    ),
    ("both", "by unpack2x16float and pack2x16float", [true, true]),
];

const NATIVE: &str = "native";
const WEBGPU: &str = "webgpu";

pub fn arguments() -> [Arg; 4] {
    let classes = CLASSES.map(|(word, class)| PossibleValue::new(word).help(class.name()));
    [
        Arg::new("class")
            .long("class")
            .value_name("CLASS")
            .value_parser(PossibleValuesParser::new(classes))
            .default_value("discrete")
            .help("the class of adapters, which decides how the work is cut"),
        Arg::new("limits")
            .long("limits")
            .value_name("LIMITS")
            .value_parser(PossibleValuesParser::new([
                PossibleValue::new(NATIVE).help("what GPUs of a desktop or a server have"),
                PossibleValue::new(WEBGPU).help("what every device of WebGPU has"),
            ]))
            .default_value(NATIVE)
            .help("the limits that the plan keeps"),
        Arg::new("subgroup")
            .long("subgroup")
            .value_name("N")
            .value_parser(subgroup)
            .help("invocations of a subgroup, or 1 for none that lanes may use [default: the class's own]"),
        Arg::new("f16")
            .long("f16")
            .value_name("WAY")
            .value_parser(PossibleValuesParser::new(
                CONVERSIONS.map(|own| PossibleValue::new(own.0).help(own.1)),
            ))
            .default_value("integer")
            .help("how f16 is read and written, which a device is asked for when it is opened"),
    ]
}

fn subgroup(text: &str) -> Result<u32, String> {
    let size = text
        .parse()
        .ok()
        .filter(|size: &u32| size.is_power_of_two() && *size <= 128);
    size.ok_or_else(|| format!("{text} given, expected a power of two from 1 to 128"))
}

impl Device {
    pub fn named(matches: &ArgMatches) -> Result<Self, Failure> {
        let word = |id: &str| matches.get_one::<String>(id).map_or("", String::as_str);
        let class = CLASSES.into_iter().find(|(own, _)| *own == word("class"));
        let (class_word, class) = class.ok_or_else(|| Failure::Usage("--class: there is no such class".into()))?;
        let is_webgpu = word("limits") == WEBGPU;
        let kind = match class {
            Class::Discrete => wgpu::DeviceType::DiscreteGpu,
            Class::Integrated => wgpu::DeviceType::IntegratedGpu,
            Class::Software8 | Class::Software4 => wgpu::DeviceType::Cpu,
        };
        let web = wgpu::Limits::default();
        let (own, workgroup_bytes) = match is_webgpu {
            true => (Limits::new(&web), u64::from(web.max_compute_workgroup_storage_size)),
            false => (native(), 32 << 10),
        };
        let subgroup = matches.get_one::<u32>("subgroup").copied();
        let conversion = CONVERSIONS.into_iter().find(|(own, ..)| *own == word("f16"));
        let (f16_word, _, [unpacks_f16, packs_f16]) =
            conversion.ok_or_else(|| Failure::Usage("--f16: there is no such way".into()))?;
        let scratch = matches.try_get_one::<u64>("scratch").ok().flatten().copied();
        let limits = Limits {
            max_dispatch_bytes: Limits::dispatch_bytes(kind),
            subgroup: subgroup.unwrap_or(class.tuning().subgroup),
            unpacks_f16,
            packs_f16,
            scratch_bytes: scratch.unwrap_or(own.scratch_bytes),
            ..own
        };
        Ok(Self {
            class_word,
            f16_word,
            limits_word: if is_webgpu { WEBGPU } else { NATIVE },
            limits,
            tuning: class.tuning().within(&limits),
            workgroup_bytes,
        })
    }

    /// Lanes may read each other's registers.
    pub fn has_subgroups(&self) -> bool {
        self.limits.subgroup > 1
    }

    /// A driver ends what runs for long.
    pub fn is_watched(&self) -> bool {
        !self.class_word.starts_with("software")
    }

    /// What a usual adapter of its class reads and writes, in GB a second.
    pub fn usual_pace(&self) -> f64 {
        if self.class_word == "discrete" { 500.0 } else { 50.0 }
    }

    /// `class discrete, subgroups of 32; limits native: 1024 invocations, …`
    pub fn line(&self) -> String {
        let limits = &self.limits;
        let subgroups = match self.has_subgroups() {
            true => format!("subgroups of {}", limits.subgroup),
            false => "no subgroups".into(),
        };
        let f16 = match self.f16_word {
            "integer" => String::new(),
            word => format!(", f16 by {word}"),
        };
        format!(
            "class {}, {subgroups}{f16}; limits {}: {} invocations, {} of workgroup memory, bindings of {}, \
             buffers of {}, dispatches of {}, offsets of {} bytes",
            self.class_word,
            self.limits_word,
            limits.max_width,
            binary(self.workgroup_bytes),
            binary(limits.max_binding_bytes),
            binary(limits.max_buffer_bytes),
            binary(limits.max_dispatch_bytes),
            limits.offset_alignment,
        )
    }

    pub fn json(&self) -> Value {
        let limits = &self.limits;
        let fields = Tuning::FIELDS.iter();
        let tuning: Map<String, Value> = fields
            .map(|own| (own.name.into(), (own.get)(&self.tuning).into()))
            .collect();
        json!({
            "class": self.class_word,
            "subgroup": limits.subgroup,
            "f16": self.f16_word,
            "limits": {
                "name": self.limits_word,
                "invocations": limits.max_width,
                "workgroup_bytes": self.workgroup_bytes,
                "binding_bytes": limits.max_binding_bytes,
                "buffer_bytes": limits.max_buffer_bytes,
                "dispatch_bytes": limits.max_dispatch_bytes,
                "offset_alignment": limits.offset_alignment,
                "workgroups": limits.max_groups,
            },
            "tuning": tuning,
        })
    }
}

/// What GPUs of desktops and servers have under Vulkan, or a little less.
fn native() -> Limits {
    Limits {
        max_binding_bytes: 2 << 30,
        max_buffer_bytes: 4 << 30,
        offset_alignment: 32,
        uniform_alignment: 32,
        max_width: 1024,
        ..Limits::new(&wgpu::Limits::default())
    }
}

/// A number of bytes in whole units: `2 GiB`.
pub fn binary(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    while unit < 3 && bytes > 0 && bytes.is_multiple_of(1 << (10 * (unit + 1))) {
        unit += 1;
    }
    format!("{} {}", bytes >> (10 * unit), units[unit])
}
