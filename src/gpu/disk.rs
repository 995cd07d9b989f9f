//! Compiled pipelines in a file, for the next process.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Gpu;
use crate::error::{Error, Result};

/// wgpu's cache of pipelines, and the file that it is kept in.
#[derive(Debug)]
pub(crate) struct Disk {
    pub cache: wgpu::PipelineCache,
    file: PathBuf,
    /// Adapter and driver.
    of: String,
    changed: AtomicBool,
}

/// How a file begins; behind it stands a checksum of 8 bytes, then what wgpu gave.
const MAGIC: &[u8] = b"wgloss pipelines 1\n";
const HEAD: usize = MAGIC.len() + 8;
/// More than this is no file of ours, or has grown beyond use. (All variants of all losses are a few MiB.)
const MOST_BYTES: u64 = 64 << 20;

impl Gpu {
    /// The cache in a folder, for whatever is compiled from now on; `None` where the device has none.
    pub fn open_disk(&self, folder: &Path) -> Result<Option<Disk>> {
        let key = wgpu::util::pipeline_cache_key(&self.info);
        let (true, Some(key)) = (self.device.features().contains(wgpu::Features::PIPELINE_CACHE), key) else {
            return Ok(None);
        };
        let of = format!(
            "{key} {} {} {}",
            self.info.name, self.info.driver, self.info.driver_info
        );
        let file = folder.join(format!("{key}.wgloss"));
        let cache = match read(&file, &of) {
            // What another version of wgpu or of the driver wrote may be refused: then it begins anew.
            Some(data) => self.cache(Some(&data)).or_else(|_| self.cache(None)),
            None => self.cache(None),
        }?;
        Ok(Some(Disk {
            cache,
            file,
            of,
            changed: AtomicBool::new(false),
        }))
    }

    #[allow(unsafe_code, reason = "wgpu has no other way to begin with earlier data")]
    fn cache(&self, data: Option<&[u8]>) -> Result<wgpu::PipelineCache> {
        self.guarded("pipeline cache", 0, || {
            let descriptor = wgpu::PipelineCacheDescriptor {
                label: Some("wgloss"),
                data,
                fallback: true,
            };
            // SAFETY: `data` has to come from `PipelineCache::get_data`. It does: `read` takes only a file that begins
            // as `write` begins one and whose checksum, over adapter, driver and data, is right. So it is whole, and
            // what `get_data` gave on this adapter and driver; wgpu and the driver then compare their own headers. A
            // file made on purpose could pass: the folder is the user's own, as the program is.
            unsafe { self.device.create_pipeline_cache(&descriptor) }
        })
    }
}

impl Disk {
    /// Something was compiled that the file may not have.
    pub fn changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Writes the file, where something was compiled since it was read or written.
    pub fn save(&self) -> Result<()> {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let data = self.cache.get_data().unwrap_or_default();
        if data.is_empty() || data.len() as u64 + HEAD as u64 > MOST_BYTES {
            return Ok(());
        }
        write(&self.file, &self.of, &data).map_err(|source| {
            self.changed();
            Error::Io {
                name: "pipeline_cache",
                source,
            }
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nobody is left to be told: the next process compiles again.
        let _ = self.save();
    }
}

/// Over adapter and driver, too, so that another's file is not taken. A later Rust may hash in another way: then it is
/// as if there were no file.
fn checksum(of: &str, data: &[u8]) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    (of, data).hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

/// The data of a file that `write` wrote for the same adapter; nothing of any other.
fn read(file: &Path, of: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file).ok()?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MOST_BYTES || bytes.len() < HEAD || !bytes.starts_with(MAGIC) {
        return None;
    }
    let data = bytes.split_off(HEAD);
    (bytes[MAGIC.len()..] == checksum(of, &data)).then_some(data)
}

/// Under another name first, so that whoever reads meanwhile, or a crash, never meets half a file.
fn write(file: &Path, of: &str, data: &[u8]) -> io::Result<()> {
    static TIMES: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let nth = TIMES.fetch_add(1, Ordering::Relaxed);
    let draft = file.with_extension(format!("{}-{nth}.draft", std::process::id()));
    let written = std::fs::write(&draft, [MAGIC, &checksum(of, data), data].concat())
        .and_then(|()| std::fs::rename(&draft, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}
