# The package is installed, and the service does its work without another word.

small="small-gemm small-triad small-gemv"
# A workload's count in the profile, as programs are launched with it.
count_of() {
  awk -v "name=\"$1\"" '
    $1 == "name" { this = $3 == name }
    this && $1 == "latency" && match($0, /threads = [0-9]+/) { print substr($0, RSTART + 10, RLENGTH - 10); exit }
  ' "$(profile)"
}

stop_of() {
  awk -v "name=\"$1\"" '
    $1 == "name" { this = $3 == name }
    this && $1 == "stop" { gsub(/"/, "", $3); print $3; exit }
  ' "$(profile)"
}

step "installation"
mkdir -p /etc/threadtune
cp threadtune.toml $configuration
cp catalog.toml $catalogue
mark
timeout $((120 * slowness)) dpkg --force-confold -i first.deb >dpkg.log 2>&1 || { cat dpkg.log >&2; fail "dpkg -i"; }
[ "$(systemctl is-enabled $unit)" = enabled ] || fail "the preset does not enable it"
within 30 "the service's start" is_active

step "what systemd knows of it"
is Type notify
is Result success
is NRestarts 0
is LoadState loaded
# No manual pages are shown in so small a system.
timeout $((60 * slowness)) systemd-analyze verify --man=no $unit >verify.log 2>&1 || { cat verify.log >&2; fail "verify"; }
! grep threadtune verify.log || fail "systemd-analyze verify says that"
[ -n "$(property StatusText)" ] || fail "it has not told systemd its status"
[ "$(property ActiveEnterTimestampMonotonic)" -gt "$(property ExecMainStartTimestampMonotonic)" ] ||
  fail "it did not notify"
[ "$(stat -c %U "/proc/$(property MainPID)")" = threadtune ] || fail "it does not run as its user"
# In tenths: above 0.6 the exit code is not 0.
timeout $((60 * slowness)) systemd-analyze security --threshold=6 --no-pager $unit >exposure.log 2>&1 ||
  { tail -n 1 exposure.log; fail "it is exposed too much"; }
tail -n 1 exposure.log

step "tuning by itself"
within 120 "the end of the tuning" is_idle
holds $small
! has_said '<[0-9]>' || fail "priorities of log lines are not understood"
[ -n "$(property StatusText)" ] || fail "it has no status any more"
is NRestarts 0

step "another user reads it"
as_nobody cat "$(profile)" | cmp - "$(profile)" || fail "the profile is another one for a user"
as_nobody threadtune status | grep -q 'workloads: .*, 0 left' ||
  fail "a user sees: $(as_nobody threadtune status 2>&1)"
[ "$(as_nobody threadtune status --json | grep -c '"pid"')" = 1 ] || fail "status --json"
for directory in /var/lib/threadtune "$(dirname "$(profile)")" /run/threadtune; do
  ! as_nobody touch "$directory/mine" 2>/dev/null || fail "every user writes in $directory"
done

step "another user launches with it"
for workload in $small; do
  count=$(count_of "$workload")
  if [ -z "$count" ]; then
    # Where neighbours disturbed it there is none, and nothing is launched with one.
    [ "$(stop_of "$workload")" = contaminated ] || fail "no count of $workload in the profile"
    as_nobody threadtune launch --strict -w "$workload" -- true 2>/dev/null && fail "launch -w $workload has no count"
    continue
  fi
  [ "$count" -ge 1 ] || fail "a count of $count for $workload"
  if ! got=$(as_nobody threadtune launch --strict -w "$workload" -- sh -c 'echo $OMP_NUM_THREADS' 2>launch.log); then
    # Where more than a guess has yet to be reached, that is not used.
    grep -q 'is not used: inconclusive' launch.log || { cat launch.log >&2; fail "launch -w $workload"; }
    continue
  fi
  [ "$got" = "$count" ] || fail "$workload is launched with \"$got\" threads, its profile says $count"
  # What is inconclusive is told, and nothing else.
  ! grep -v ': inconclusive; ' launch.log || fail "launch says: $(cat launch.log)"
done
