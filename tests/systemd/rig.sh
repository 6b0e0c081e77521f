# Sourced by the drivers beside it, in the checkout: the package, root file systems of Debian to install it in, and what
# runs them.
#
# A bare root file system is made once and kept below $THREADTUNE_ROOTFS (~/.cache/threadtune/rootfs unless set); each
# test works in a copy. A driver sets `test`, the name under which it is skipped, and `package`, the path of a package
# that is built already, or nothing.

cache=${THREADTUNE_ROOTFS:-${HOME:?}/.cache/threadtune/rootfs}

skip() { echo "skipped ${test:?}: $1" >&2; exit 0; }

# The commands must be there.
need() {
  for command; do command -v "$command" >/dev/null || skip "$command is not installed"; done
}

need_root() { [ "$(id -u)" = 0 ] || skip "only root may do that"; }

# The scripts that run a real systemd.
need_rig() {
  rig=$(realpath -e ../shared/systemd-rig 2>/dev/null) || skip "../shared/systemd-rig is not there"
}

need_namespaces() {
  need debootstrap dpkg-deb unshare nsenter
  grep -q '^[^ ]* [^ ]* cgroup2 ' /proc/mounts || skip "no control group hierarchy of version 2 is mounted"
}

# Builds the package where none is given.
need_package() {
  if [ -z "$package" ]; then
    need cargo-deb
    timeout 1800 systemd/package
    package=$(realpath -e target/debian/threadtune_*.deb)
  fi
}

# Makes the directory `work` beside the bare root file systems; it goes when the driver ends.
make_work() {
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/$test.XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
}

# Makes the package of the next version at $1, which differs from `package` in its version and in one file.
make_next_package() {
  rm -rf "$work/next"
  timeout 60 dpkg-deb -R "$package" "$work/next"
  sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
  echo next >>"$work/next/usr/share/doc/threadtune/README.md"
  (cd "$work/next" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums)
  timeout 120 dpkg-deb -Znone -b "$work/next" "$1" >/dev/null
  rm -rf "$work/next"
}

# Makes a bare root file system of the release $1 where there is none yet. Its log shows only if it fails.
make_bare() {
  local bare=$cache/$1 mirror
  [ ! -e "$bare/made" ] || return 0
  need debootstrap
  # From where a Debian has its own packages.
  mirror=
  if grep -qx ID=debian /etc/os-release; then
    mirror=$(apt-get indextargets --format "\$(REPO_URI)" | awk '!/security/ && !seen++')
  fi
  rm -rf "$bare"
  mkdir -p "$bare"
  timeout 900 debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$1" "$bare" ${mirror:+"$mirror"} \
    >"$bare.log" || { tail "$bare.log" >&2; exit 1; }
  touch "$bare/made"
}

# Copies the bare root file system $1 to $work/root.
copy_bare() { timeout 120 cp -a "$cache/$1" "$work/root"; }

# Makes the directory $work/payload, which runs these parts inside, or those of $PARTS.
make_payload() {
  cp -r tests/systemd/payload "$work/payload"
  cp "$package" "$work/payload/first.deb"
  make_next_package "$work/payload/next.deb"
  echo "${PARTS:-$*}" >"$work/payload/parts"
}

# Runs the payload under the systemd of the root file system $work/root, for $1 seconds at most.
run_in_namespaces() {
  TIMEOUT=$1 timeout -k 10 $(($1 + 90)) bash "$rig/ns-run.sh" "$work/root" "$work/payload" | tee "$work/output"
  # An exit code alone may be that of a payload which never ran.
  tail -n 1 "$work/output" | grep -qx 'all is right'
}
