#!/usr/bin/env bash
# Prints the path of SwiftShader's Vulkan driver, a software adapter beside Mesa's. It comes out of Debian's packages of
# Chromium and is kept in target/: nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/target/swiftshader
driver=$folder/vk_swiftshader_icd.json
if [ ! -e "$driver" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fetch() {
        # Which of the two has the driver changed in the course of time.
        for package in chromium-common chromium; do
            (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package") || continue
            dpkg-deb -x "$work/$package"_*.deb "$work"
            [ ! -e "$work/usr/lib/chromium/libvk_swiftshader.so" ] || return 0
        done
        return 1
    }
    if ! { fetch || { apt-get update -qq && fetch; }; } >&2; then
        echo "SwiftShader could not be fetched: apt-get has no package chromium-common or chromium with" \
            "usr/lib/chromium/libvk_swiftshader.so (Debian has; Ubuntu's is a snap)." >&2
        exit 1
    fi
    # The description last: its presence says that the rest is there. It names the library beside it.
    mkdir -p "$folder"
    cp "$work/usr/lib/chromium/libvk_swiftshader.so" "$folder"
    cp "$work/usr/lib/chromium/vk_swiftshader_icd.json" "$folder"
fi
echo "$driver"
