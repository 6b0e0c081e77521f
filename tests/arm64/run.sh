#!/usr/bin/env bash
# Compiles everything for arm64 and runs there, under emulation, the unit tests and the integration tests that start no
# process; then builds the arm64 package. What is proven: that it compiles, the arithmetic of the NEON kernels, parsers
# and layouts. Not proven: speed, and whatever the kernel tells of a process, which is that of the emulator.
#
# It works on what is committed. The root file system with a cross compiler is made once and kept below
# ~/.cache/threadtune/arm64 ($THREADTUNE_ARM64). Skipped by name without root or without ../shared/arm64-rig.
set -euo pipefail
cd "$(dirname "$0")/../.."
skip() { echo "skipped arm64: $1" >&2; exit 0; }

[ "$(id -u)" = 0 ] || skip "only root may make a root file system"
rig=$(realpath -e ../shared/arm64-rig 2>/dev/null) || skip "../shared/arm64-rig is not there"
root=${THREADTUNE_ARM64:-${HOME:?}/.cache/threadtune/arm64}
unmount() {
  for place in proc dev root/.cargo/registry; do
    ! mountpoint -q "$root/$place" || umount "$root/$place" || umount -l "$root/$place" || true
  done
}
trap unmount EXIT
if [ ! -e "$root/made" ]; then
  # Only what this script began is removed.
  if [ -e "$root" ] && [ ! -e "$root.log" ]; then
    echo "$root is not a root file system of this script's; remove it, or set THREADTUNE_ARM64" >&2
    exit 1
  fi
  unmount
  rm -rf --one-file-system "$root"
  mkdir -p "$root"
  timeout 900 bash "$rig/build.sh" "$root" >"$root.log" 2>&1 || { tail "$root.log" >&2; exit 1; }
  DEBIAN_FRONTEND=noninteractive timeout 300 chroot "$root" \
    apt-get install -y -q --no-install-recommends dpkg-dev >>"$root.log" 2>&1 || { tail "$root.log" >&2; exit 1; }
  touch "$root/made"
fi

# Emulated processes cannot give back the pages of their code, which are not those of the file.
skipped=what_was_released_comes_back_as_it_is_needed
# Those that start no process.
tests=(profile_store profile_text purity machines replay_curves tune_scripted)

# Runs cargo there, its tests on this processor.
on() {
  local cpu=$1 runner=/usr/local/bin/emulated-$1
  shift
  printf '#!/bin/sh\nexec qemu-aarch64 -cpu %s "$@" --skip %s\n' "$cpu" "$skipped" >"$root$runner"
  chmod 755 "$root$runner"
  # Optimised, as emulation is slow, but not across crates, which takes long for each test.
  RUNNER=$runner timeout 1500 bash "$rig/run.sh" "$root" . \
    --config 'profile.release.lto="off"' --config profile.release.codegen-units=16 "$@"
}
on max test --locked --release --lib "${tests[@]/#/--test=}"
# A plainer one: no dot products, no bf16.
on cortex-a57 test --locked --release --lib kernel

# The package.
if command -v cargo-deb >/dev/null; then
  cp "$(command -v cargo-deb)" "$root/usr/local/bin/cargo-deb"
  triple=aarch64-unknown-linux-gnu
  timeout 1500 chroot "$root" env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root TERM=dumb \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 sh -c "cd /src/project && systemd/package $triple"
  built=$root/src/project/target/$triple
  [ "$(dpkg-deb -f "$built"/debian/threadtune_*.deb Architecture)" = arm64 ] || { echo "no arm64 package" >&2; exit 1; }
  chroot "$root" env QEMU_LD_PREFIX=/ qemu-aarch64 -cpu max "/src/project/target/$triple/release/threadtune" --version
else
  echo "skipped the arm64 package: cargo-deb is not installed" >&2
fi
echo "arm64: all is right; skipped by name: $skipped"
