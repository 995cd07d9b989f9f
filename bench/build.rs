//! The commit that the program is built from, for the records of `wgloss bench`.

use std::path::Path;
use std::process::Command;

fn main() {
    // Where one of these changes, the program is compiled anew, and this is asked again.
    for path in ["build.rs", "src", "../src", "../shaders", "../shell/src", "../cli/src"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = commit().unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=WGLOSS_COMMIT={commit}");
}

/// `d62897148ba1`, with `-dirty` where files that git knows have been changed.
fn commit() -> Option<String> {
    // A package that was unpacked somewhere in another project is no checkout of this one.
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let own = Path::new("..").canonicalize().ok()?;
    if Path::new(&root).canonicalize().ok()? != own {
        return None;
    }
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { commit + "-dirty" })
}

fn git(arguments: &[&str]) -> Option<String> {
    // Without a lock, so that a build never gets in the way of what its user does.
    let output = Command::new("git")
        .arg("--no-optional-locks")
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
