#!/usr/bin/env bash
# Measures what the service costs while it has nothing to do, beside Debian's tuned under the same systemd (252, in
# namespaces of this kernel), and prints a table. It judges nothing. About three minutes, one more for the first time.
#
#   tests/systemd/footprint.sh [PACKAGE.deb]     a package that is built already
#
# Skipped by name as namespaces.sh is.
set -euo pipefail

test=footprint
package=${1:+$(realpath -e "$1")}
cd "$(dirname "$0")/../.."
. tests/systemd/rig.sh
need_root
need_rig
need_namespaces
need_package
make_bare bookworm
with_tuned=$cache/bookworm-tuned
if [ ! -e "$with_tuned/tuned-made" ]; then
  rm -rf "$with_tuned"
  timeout 120 cp -a "$cache/bookworm" "$with_tuned"
  cp /etc/resolv.conf "$with_tuned/etc/"
  timeout 600 chroot "$with_tuned" env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get update -q && apt-get install -y -q --no-install-recommends tuned' >"$with_tuned.log" 2>&1 ||
    { tail "$with_tuned.log" >&2; exit 1; }
  touch "$with_tuned/tuned-made"
fi
make_work
copy_bare bookworm-tuned
make_payload install footprint
run_in_namespaces 600
