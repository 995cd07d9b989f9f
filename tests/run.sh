#!/usr/bin/env bash
# Runs every test. Where the machine has no GPU adapter, installs Mesa's software one first (Debian and its kin).
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release

if [ "$(./target/release/wgloss adapters --json)" = "[]" ]; then
    if command -v apt-get >/dev/null; then
        sudo=""
        [ "$(id -u)" = 0 ] || sudo="sudo"
        echo "No Vulkan adapter: installing Mesa's software adapter (packages mesa-vulkan-drivers and libvulkan1)."
        $sudo apt-get update -qq
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mesa-vulkan-drivers libvulkan1
    else
        cat >&2 <<'WHAT'
No GPU adapter was found, and this script can install a software one with apt-get only. Please install
  Fedora    mesa-vulkan-drivers vulkan-loader
  Arch      vulkan-swrast vulkan-icd-loader
  Alpine    mesa-vulkan-swrast vulkan-loader
  Windows   nothing: DirectX 12 has WARP
  macOS     nothing: Metal is there
and run this script again.
WHAT
        exit 1
    fi
fi

# Mesa's device selection asks for a Wayland display and complains on a machine that has none.
export NODEVICE_SELECT=1
cargo test --release --workspace "$@"
