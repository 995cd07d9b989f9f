//! What `wgloss tune --save` found, in the user's cache folder, and `--tuned`, which reads it.
//!
//! It is asked for by name, each time: the tuning decides the order of sums, hence the last bits of results.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wgloss::{Engine, Tuning};
use wgloss_shell::Failure;
use wgloss_shell::draft::{self, Draft};

use crate::bench::record::{json_file, slug};

/// The form of the file below.
const SCHEMA: u64 = 1;

/// What the file is, for messages.
const WHAT: &str = "tuning of wgloss tune";

/// A tuning, and what it was measured on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Saved {
    schema: u64,
    /// Of wgloss, whose kernels differ from version to version.
    version: String,
    adapter: String,
    driver: String,
    driver_info: String,
    /// UTC, as RFC 3339 writes it.
    date: String,
    tuning: Map<String, Value>,
}

/// What has to be the same where a saved tuning is used.
#[derive(Clone, Debug)]
struct Key {
    adapter: String,
    driver: String,
    driver_info: String,
    file: String,
}

impl Key {
    fn of(engine: &Engine) -> Option<Self> {
        let info = engine.adapter_info()?;
        let backend = format!("{:?}", info.backend);
        Some(Self {
            adapter: engine.name(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            file: format!("tuning-{}.json", slug(&[&info.name, &backend, &info.driver])),
        })
    }
}

/// Whether the command line asks for the saved values.
pub fn is_asked(matches: &ArgMatches) -> bool {
    matches.get_flag("tuned")
}

/// An engine with the saved values, where they are asked for.
///
/// # Errors
/// What is wrong with the saved values: they are never passed over.
pub fn apply(mut engine: Engine, is_tuned: bool) -> Result<Engine, Failure> {
    if is_tuned {
        let tuning =
            load(&engine).map_err(|why| Failure::Failed(format!("--tuned: {why}; run `wgloss tune --save`")))?;
        engine.set_tuning(tuning)?;
    }
    Ok(engine)
}

/// Opens an adapter once more, its work cut as on the engine that has this tuning.
pub fn reopen(adapter: &str, tuning: Option<Tuning>) -> wgloss::Result<Engine> {
    let mut engine = Engine::open(adapter)?;
    if let Some(tuning) = tuning {
        engine.set_tuning(tuning)?;
    }
    Ok(engine)
}

/// The values of an engine where they are not those of its adapter's class.
pub fn own(engine: &Engine) -> Option<Tuning> {
    let class = Tuning::of(engine.adapter_info()?).within(&engine.plan_limits()?);
    engine.tuning().filter(|tuning| *tuning != class)
}

/// The engine's name, which says where its values are not those of the adapter's class.
pub fn name(engine: &Engine) -> String {
    format!("{}{}", engine.name(), own(engine).map_or("", |_| ", tuned"))
}

/// Values by name.
pub fn json(tuning: &Tuning) -> Map<String, Value> {
    let value = |field: wgloss::tuning::Field| (field.name.to_owned(), (field.get)(tuning).into());
    Tuning::FIELDS.map(value).into_iter().collect()
}

/// `width 8, tile 8192, …`
pub fn text(tuning: &Tuning) -> String {
    let value = |field: wgloss::tuning::Field| format!("{} {}", field.name, (field.get)(tuning));
    Tuning::FIELDS.map(value).join(", ")
}

/// A tuning from its values: all of them, and nothing else.
fn from_json(values: &Map<String, Value>) -> Result<Tuning, String> {
    let mut tuning = Tuning::SOFTWARE;
    for field in Tuning::FIELDS {
        let name = field.name;
        let value = values.get(name).ok_or_else(|| format!("its tuning has no {name}"))?;
        let number = value.as_u64();
        let number = number.ok_or_else(|| format!("its {name} is {value}, expected a whole number"))?;
        (field.set)(&mut tuning, number);
    }
    let is_unknown = |name: &&String| !Tuning::FIELDS.iter().any(|field| field.name == name.as_str());
    if let Some(name) = values.keys().find(is_unknown) {
        return Err(format!("its tuning has {name}, which this version does not know"));
    }
    tuning
        .check()
        .map_err(|error| format!("its tuning is wrong: {error}"))?;
    Ok(tuning)
}

/// wgloss's place among the user's caches.
pub fn folder() -> Result<PathBuf, String> {
    let caches = dirs::cache_dir().ok_or("there is no cache folder of this user; is HOME set?")?;
    Ok(caches.join("wgloss"))
}

fn load(engine: &Engine) -> Result<Tuning, String> {
    let key = Key::of(engine).ok_or("there is no adapter to read values for")?;
    read(&folder()?, &key)
}

/// Reads what `write` wrote for the same adapter, driver and version.
fn read(folder: &Path, key: &Key) -> Result<Tuning, String> {
    let path = folder.join(&key.file);
    if !path.exists() {
        return Err(format!(
            "nothing is saved for {} ({} is not there)",
            key.adapter,
            path.display()
        ));
    }
    let of = |why: String| format!("{}: {why}", path.display());
    let value = json_file(&path, WHAT).map_err(of)?;
    let schema = value.get("schema").and_then(Value::as_u64);
    if schema != Some(SCHEMA) {
        return Err(of(format!("is no {WHAT} of schema {SCHEMA}, which this version reads")));
    }
    let saved: Saved = serde_json::from_value(value).map_err(|error| of(format!("is a broken {WHAT}: {error}")))?;
    for (what, got, expected) in [
        ("version", saved.version.as_str(), env!("CARGO_PKG_VERSION")),
        ("adapter", &saved.adapter, &key.adapter),
        ("driver", &saved.driver, &key.driver),
        ("driver_info", &saved.driver_info, &key.driver_info),
    ] {
        if got != expected {
            return Err(of(format!("was measured with {what} {got:?}, this is {expected:?}")));
        }
    }
    from_json(&saved.tuning).map_err(of)
}

/// Saves a tuning for the adapter of an engine, and says where.
pub fn save(engine: &Engine, tuning: &Tuning, date: &str) -> Result<PathBuf, String> {
    let key = Key::of(engine).ok_or("there is no adapter to save values for")?;
    write(&folder()?, &key, tuning, date)
}

fn write(folder: &Path, key: &Key, tuning: &Tuning, date: &str) -> Result<PathBuf, String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("--save {}: {error}", folder.display()))?;
    let saved = Saved {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        adapter: key.adapter.clone(),
        driver: key.driver.clone(),
        driver_info: key.driver_info.clone(),
        date: date.into(),
        tuning: json(tuning),
    };
    // Numbers and texts: nothing that JSON does not have.
    let text = serde_json::to_string_pretty(&saved).unwrap_or_default();
    let place = folder.join(&key.file);
    let draft = Draft::new(format!("--save {}", place.display()), &place, text.as_bytes(), 0)?;
    draft::publish(vec![draft]).map_err(|failure| failure.to_string())?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: Tuning = Tuning {
        tile: 1024,
        ..Tuning::SOFTWARE
    };

    fn key() -> Key {
        Key {
            adapter: "a GPU (Vulkan, DiscreteGpu)".into(),
            driver: "driver".into(),
            driver_info: "1.0".into(),
            file: "tuning-a-gpu.json".into(),
        }
    }

    #[test]
    fn what_is_saved_is_read() {
        let folder = tempfile::tempdir().unwrap();
        // The folder comes into being, and a second time replaces the first.
        let inner = folder.path().join("caches/wgloss");
        for tuning in [Tuning::HARDWARE, TUNING] {
            let place = write(&inner, &key(), &tuning, "2026").unwrap();
            assert_eq!(place, inner.join("tuning-a-gpu.json"));
            assert_eq!(read(&inner, &key()), Ok(tuning));
        }
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1);
    }

    #[test]
    fn what_is_of_something_else_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let missing = read(folder, &key()).unwrap_err();
        assert!(
            missing.starts_with("nothing is saved for a GPU (Vulkan, DiscreteGpu)"),
            "{missing}"
        );
        let place = write(folder, &key(), &TUNING, "2026").unwrap();
        let change = |what: fn(&mut Key)| {
            let mut other = key();
            what(&mut other);
            read(folder, &other).unwrap_err()
        };
        for (why, part) in [
            (change(|key| key.adapter += "!"), "was measured with adapter \"a GPU"),
            (
                change(|key| key.driver += "!"),
                "was measured with driver \"driver\", this is \"driver!\"",
            ),
            (
                change(|key| key.driver_info += "!"),
                "was measured with driver_info \"1.0\"",
            ),
        ] {
            assert!(why.contains(part) && why.contains("tuning-a-gpu.json"), "{why}");
        }
        let text = std::fs::read_to_string(&place).unwrap();
        for (old, new, part) in [
            (
                env!("CARGO_PKG_VERSION"),
                "0.0.0",
                "was measured with version \"0.0.0\"",
            ),
            (
                "\"schema\": 1",
                "\"schema\": 2",
                "is no tuning of wgloss tune of schema 1",
            ),
            ("\"schema\": 1,", "", "is no tuning of wgloss tune of schema 1"),
            (
                "\"tile\": 1024",
                "\"tile\": 1000",
                "its tuning is wrong: tile: 1000 given",
            ),
            (
                "\"tile\": 1024",
                "\"tile\": -4",
                "its tile is -4, expected a whole number",
            ),
            ("\"tile\"", "\"tiles\"", "its tuning has no tile"),
            (
                "\"tile\"",
                "\"tiles\": 1, \"tile\"",
                "its tuning has tiles, which this version does not know",
            ),
            ("\"date\"", "\"day\"", "is a broken tuning of wgloss tune"),
            ("{", "", "is no tuning of wgloss tune: "),
        ] {
            assert!(text.contains(old), "{old}");
            std::fs::write(&place, text.replacen(old, new, 1)).unwrap();
            let why = read(folder, &key()).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        std::fs::write(&place, b"").unwrap();
        assert!(read(folder, &key()).is_err());
        std::fs::write(&place, [0xff; 9]).unwrap();
        assert!(read(folder, &key()).is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let why = write(&file.join("wgloss"), &key(), &TUNING, "2026").unwrap_err();
        assert!(why.starts_with("--save ") && why.contains("file"), "{why}");
    }
}
