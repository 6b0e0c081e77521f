# The package is upgraded, removed and purged.

step "an upgrade while it runs"
systemctl reset-failed $unit
is ActiveState active
pid=$(property MainPID) had=$(finished)
timeout $((120 * slowness)) dpkg -i next.deb >dpkg.log 2>&1 || { cat dpkg.log >&2; fail "dpkg -i"; }
is_another() { is_active && [ "$(property MainPID)" != "$pid" ]; }
within 60 "the new one" is_another
is NeedDaemonReload no
is NRestarts 0
! readlink "/proc/$(property MainPID)/exe" | grep -q deleted || fail "the old program runs"
holds $had

step "a removal that failed"
systemctl stop $unit
/var/lib/dpkg/info/threadtune.postinst abort-remove
within 60 "the service" is_active

step "removal"
timeout $((120 * slowness)) dpkg -r threadtune >dpkg.log 2>&1 || { cat dpkg.log >&2; fail "dpkg -r"; }
is LoadState not-found
is ActiveState inactive
has_no_process
[ ! -e /usr/bin/threadtune ] || fail "the program is left"
[ -e "$(profile)" ] || fail "the profile is gone"

step "installation after removal"
timeout $((120 * slowness)) dpkg -i first.deb >dpkg.log 2>&1 || { cat dpkg.log >&2; fail "dpkg -i"; }
within 60 "the service" is_active
within 60 "rest" is_idle
holds $had

step "purge"
rm $catalogue
timeout $((120 * slowness)) dpkg --purge threadtune >dpkg.log 2>&1 || { cat dpkg.log >&2; fail "dpkg --purge"; }
# All but the test's own. The settings of `systemctl set-property` were the administrator's.
left=$(
  find / -xdev -name '*threadtune*' -not -path "$here/*"
  find /run /tmp /var/tmp /dev/shm /sys/fs/cgroup -name '*threadtune*'
)
[ -z "$left" ] || fail "there is left: $(xargs <<<"$left")"
has_no_process
[ -z "$(systemctl list-units --all --no-legend 'threadtune*')" ] || fail "systemd still knows it"
# Debian keeps users of the system: files of their number may lie elsewhere.
echo "left by custom: $(getent passwd threadtune)"
