//! What drivers say unasked.

/// Mesa's layer for choosing a device asks a Wayland compositor, and the Wayland library complains on stderr where the
/// session has no folder for sockets. There is none to ask then: the layer is left out. The engine orders adapters
/// itself. To be called before all else in `main`.
pub fn quiet() {
    let folder = std::env::var_os("XDG_RUNTIME_DIR");
    if cfg!(target_os = "linux") && !folder.is_some_and(|folder| std::path::Path::new(&folder).is_absolute()) {
        // SAFETY: the first statement of `main`: no other thread is there to read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
