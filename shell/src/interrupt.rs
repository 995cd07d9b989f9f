//! Ctrl-C and SIGTERM: files under way that have a name are removed before the process ends.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

static NAMES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Has signals end the process, also where a shell that started it in the background had it ignore Ctrl-C: what streams
/// for minutes can be stopped.
pub fn arm() {
    static WATCH: Once = Once::new();
    WATCH.call_once(watch);
}

/// The files to be removed. A signal waits while they are held.
pub fn names() -> MutexGuard<'static, Vec<PathBuf>> {
    arm();
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn watch() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    // Without a handler the process ends as it would have, and leaves at worst a file named .wgloss-.
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else {
        return;
    };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let _held = remove();
            // So that a shell's loop sees what it was.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
}

#[cfg(windows)]
fn watch() {
    let _ = ctrlc::set_handler(|| {
        let _held = remove();
        std::process::exit(130);
    });
}

/// Removes the files, and lets nobody add one.
fn remove() -> MutexGuard<'static, Vec<PathBuf>> {
    let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    for name in names.iter() {
        let _ = std::fs::remove_file(name);
    }
    names
}
