#!/usr/bin/env bash
# Runs every test on the machine's best adapter, which takes minutes. With --all-adapters, in their long forms: all of a
# sweep's combinations, more random calls, tensors of GiBs. Then the short forms of those that need an adapter once
# more, held to what every browser gives, and a part of them on a second software adapter, SwiftShader. Other arguments
# go to `cargo test`.
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
if [ "${1:-}" != "--all-adapters" ]; then
    exec cargo test --release --workspace "$@"
fi
WGLOSS_TEST_LONG=1 cargo test --release --workspace

# What needs no adapter has run, and so have the command line and the examples of the documentation.
suite=(cargo test --release --test suite --)
echo "Again, held to WebGPU's default limits, without optional features."
WGLOSS_TEST_LIMITS=webgpu "${suite[@]}" --skip shaders:: --skip plans:: --skip gradients::
# It takes seconds to compile what llvmpipe compiles in milliseconds: not all of the suite.
echo "Labels, differences, sums, functions, values, subgroups, bits, encoders, shared buffers and device trouble" \
    "again, on SwiftShader."
driver=$(tests/swiftshader.sh)
VK_DRIVER_FILES=$driver WGLOSS_TEST_ADAPTER=SwiftShader "${suite[@]}" \
    faults:: differences:: deviations:: sums:: device:: bits::twenty common:: functions:: checks:: subgroups:: \
    encoders:: foreign:: owned:: shared:: gpu::cross_entropy::confident
