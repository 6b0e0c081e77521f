#!/usr/bin/env bash
# Installs the package in a virtual machine with 8 CPUs, SMT and two NUMA nodes, and looks at what the service does
# there: all that `payload/` has. Quotas, cpusets, memory limits and CPU hotplug are real ones; speed is not.
#
#   tests/systemd/machine.sh [PACKAGE.deb]     a package that is built already
#
# Skipped by name without root, the scripts of ../shared/systemd-rig, qemu, debootstrap or cargo-deb. The image is built
# once and kept beside the root file systems.
set -euo pipefail

test=machine
package=${1:+$(realpath -e "$1")}
cd "$(dirname "$0")/../.."
. tests/systemd/rig.sh
[ "$(uname -m)" = x86_64 ] || skip "the machine's kernel is one for x86-64"
need_root
need_rig
need dpkg-deb qemu-system-x86_64
need_package
image=$cache/machine
if [ ! -e "$image/made" ]; then
  need debootstrap cpio mke2fs zstd
  rm -rf "$image"
  mkdir -p "$image"
  # The rig would look for it in /etc/apt/sources.list, which need not be there.
  MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | awk '!/security/ && !seen++')}
  export MIRROR
  timeout 1200 bash "$rig/build-vm.sh" "$image" >"$image/log" 2>&1 || { tail "$image/log" >&2; exit 1; }
  touch "$image/made"
fi
make_work
make_payload install service limits machine removal
# Everything is emulated, and 8 CPUs share those of this machine.
echo 'slowness=4' >"$work/payload/settings"

code=0
# Without vendor and cache Linux sees neither SMT nor nodes.
export TMPDIR=$work TIMEOUT=1500 OUT=$image CPU='max,vendor=GenuineIntel,l3-cache=on'
timeout -k 10 1600 bash "$rig/run-vm.sh" "$work/payload" \
  -smp 8,sockets=2,cores=2,threads=2 -m 2G \
  -object memory-backend-ram,id=m0,size=1G -object memory-backend-ram,id=m1,size=1G \
  -numa node,nodeid=0,cpus=0-3,memdev=m0 -numa node,nodeid=1,cpus=4-7,memdev=m1 | tee "$work/output" || code=$?
[ $code = 0 ] || exit $code
# An exit code alone may be that of a payload which never ran.
grep -qx 'all is right' "$work/output" || { echo "the payload did not come to its end" >&2; exit 1; }
echo "$test: $(basename "$package"): all is right"
