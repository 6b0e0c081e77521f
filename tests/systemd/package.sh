#!/usr/bin/env bash
# Builds the Debian package, then installs, upgrades, removes and purges it in a root file system of its own and looks
# at what each step leaves there. No systemd runs in it, so nothing is started.
#
#   tests/systemd/package.sh [PACKAGE.deb]     a package that is built already
#
# Skipped by name without root, debootstrap or cargo-deb.
set -euo pipefail

test=package
package=${1:+$(realpath -e "$1")}
cd "$(dirname "$0")/../.."
. tests/systemd/rig.sh
fail() { echo "failed after $step: $1" >&2; exit 1; }

need_root
need debootstrap dpkg-deb
need_package
make_bare bookworm
make_work
root=$work/root
copy_bare bookworm

in_root() { timeout 120 chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"; }
# Runs dpkg; what it says is shown only if it fails.
dpkg_says() { in_root dpkg "$@" >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" >&2; fail "dpkg $*"; }; }
is_there() { [ -e "$root$1" ] || [ -L "$root$1" ]; }
has() { for path; do is_there "$path" || fail "$path is missing"; done; }
lacks() { for path; do ! is_there "$path" || fail "$path is left"; done; }
has_mode() { [ "$(stat -c %a:%u:%g "$root$2")" = "$1:0:0" ] || fail "$2 is $(stat -c %a:%u:%g "$root$2"), not $1:0:0"; }
has_user() { grep -q '^threadtune:x:' "$root/etc/passwd" || fail "there is no user"; }
version() { in_root dpkg-query -W -f '${Version}' threadtune; }

configuration=/etc/threadtune/threadtune.toml
enabled=/etc/systemd/system/multi-user.target.wants/threadtune.service
profile=/var/lib/threadtune/profiles/made-up/native.toml

cp "$package" "$root/first.deb"
make_next_package "$root/next.deb"

step="installation"
dpkg_says -i /first.deb
first=$(version)
has_mode 755 /usr/bin/threadtune
for file in /usr/lib/systemd/system/threadtune.service /usr/lib/systemd/system-preset/50-threadtune.preset \
  /usr/lib/sysusers.d/threadtune.conf $configuration /usr/share/man/man1/threadtune.1.gz \
  /usr/share/bash-completion/completions/threadtune /usr/share/zsh/vendor-completions/_threadtune \
  /usr/share/fish/vendor_completions.d/threadtune.fish /usr/share/doc/threadtune/copyright \
  /usr/share/doc/threadtune/examples/catalog.toml; do
  has_mode 644 "$file"
done
[ -z "$(in_root dpkg --verify threadtune)" ] || fail "files differ from those of the package"
[ "$(in_root dpkg-query -W -f '${Conffiles}' threadtune | awk '{ print $1 }')" = $configuration ] ||
  fail "$configuration is no conffile"
has_user
has $enabled
[ "$(in_root systemctl is-enabled threadtune.service)" = enabled ] || fail "the service is not enabled"
lacks /var/lib/threadtune /run/threadtune
in_root threadtune --version | grep -q '^threadtune ' || fail "the program does not run"
in_root threadtune -q launch -- true || fail "launch does not start a program"
# Every page is the one that the installed program writes.
mkdir "$root/pages"
in_root threadtune generate man /pages
for page in "$root"/pages/*; do
  zcat "$root/usr/share/man/man1/$(basename "$page").gz" | cmp - "$page" || fail "$(basename "$page") differs"
done
[ "$(ls "$root"/usr/share/man/man1/threadtune* | wc -l)" = "$(ls "$root/pages" | wc -l)" ] || fail "pages are too many"
rm -r "$root/pages"

step="a second configuration"
for _ in 1 2; do in_root /var/lib/dpkg/info/threadtune.postinst configure "$first"; done
# As dpkg calls it when an upgrade or a removal has failed.
for reason in abort-upgrade abort-remove; do in_root /var/lib/dpkg/info/threadtune.postinst $reason "$first"; done
has $enabled
[ "$(grep -c '^threadtune:' "$root/etc/passwd")" = 1 ] || fail "the user is there twice"

step="an upgrade"
mkdir -p "$root$(dirname $profile)"
touch "$root$profile"
echo '# mine' >>"$root$configuration"
in_root systemctl disable threadtune.service 2>/dev/null
lacks $enabled
dpkg_says -i /next.deb
[ "$(version)" = "$first+next" ] || fail "the version is $(version)"
tail -n 1 "$root/usr/share/doc/threadtune/README.md" | grep -qx next || fail "files are the old ones"
tail -n 1 "$root$configuration" | grep -qx '# mine' || fail "the configuration was replaced"
has $profile
lacks $enabled

step="removal"
in_root systemctl enable threadtune.service 2>/dev/null
dpkg_says -r threadtune
lacks /usr/bin/threadtune /usr/lib/systemd/system/threadtune.service /usr/lib/sysusers.d/threadtune.conf \
  /usr/lib/systemd/system-preset/50-threadtune.preset /usr/share/man/man1/threadtune.1.gz /usr/share/doc/threadtune
has $configuration $profile $enabled
has_user

step="installation after removal"
in_root dpkg -i /first.deb >/dev/null
tail -n 1 "$root$configuration" | grep -qx '# mine' || fail "the configuration was replaced"
has $profile
[ "$(in_root systemctl is-enabled threadtune.service)" = enabled ] || fail "the service is not enabled"

step="purge"
mkdir -p "$root/run/threadtune"
dpkg_says --purge threadtune
has_user
left=$(cd "$root" && find . -xdev -name '*threadtune*')
[ -z "$left" ] || fail "there is left: $left"

step="installation where an administrator's preset disables it"
mkdir -p "$root/etc/systemd/system-preset"
echo 'disable threadtune.service' >"$root/etc/systemd/system-preset/10-mine.preset"
dpkg_says -i /first.deb
has /usr/lib/systemd/system/threadtune.service
lacks $enabled
dpkg_says --purge threadtune

step="installation where an administrator has masked it"
rm "$root/etc/systemd/system-preset/10-mine.preset"
ln -s /dev/null "$root/etc/systemd/system/threadtune.service"
dpkg_says -i /first.deb
[ "$(in_root dpkg-query -W -f '${db:Status-Status}' threadtune)" = installed ] || fail "it is not installed"
lacks $enabled
dpkg_says --purge threadtune
has /etc/systemd/system/threadtune.service
rm "$root/etc/systemd/system/threadtune.service"

step="installation without systemd"
sed -i '/^threadtune:/d' "$root"/etc/{passwd,group,shadow,gshadow}
dpkg_says --purge --force-depends systemd-sysv systemd
lacks /usr/bin/systemctl /usr/bin/systemd-sysusers
dpkg_says -i /first.deb
in_root threadtune -q launch -- true || fail "launch does not start a program"
dpkg_says --purge threadtune
lacks /usr/bin/threadtune /etc/threadtune

echo "package: $(basename "$package"): installed, upgraded, removed and purged"
