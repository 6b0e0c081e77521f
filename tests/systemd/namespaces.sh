#!/usr/bin/env bash
# Installs the package under a real systemd that runs in namespaces of this kernel, and looks at what the service does
# there: what `payload/` has, but for the parts that need CPU controllers or CPUs of their own (see machine.sh).
#
#   tests/systemd/namespaces.sh 252 [PACKAGE.deb]     the systemd of bookworm; a package that is built already
#   tests/systemd/namespaces.sh 257 [PACKAGE.deb]     of trixie
#
# Skipped by name without root, the scripts of ../shared/systemd-rig, a control group hierarchy of version 2,
# debootstrap or cargo-deb.
set -euo pipefail

case "${1:-}" in
252) release=bookworm ;;
257) release=trixie ;;
*) echo "usage: tests/systemd/namespaces.sh 252|257 [PACKAGE.deb]" >&2; exit 2 ;;
esac
test=namespaces-$1
package=${2:+$(realpath -e "$2")}
cd "$(dirname "$0")/../.."
. tests/systemd/rig.sh
need_root
need_rig
need_namespaces
need_package
make_bare $release
make_work
copy_bare $release
make_payload install service removal
timeout 30 chroot "$work/root" systemctl --version | grep -q "^systemd $1 " ||
  { echo "$release has another systemd" >&2; exit 1; }
run_in_namespaces 900
echo "$test: $(basename "$package"): all is right"
