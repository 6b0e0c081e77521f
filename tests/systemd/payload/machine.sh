# What only a machine of its own may suffer: a CPU goes and comes back, memory runs out, the clock is set. It would hit
# the whole machine.

cpu=/sys/devices/system/cpu/cpu5/online

step "the machine"
# What the rig promises, and what the settings above rest on.
found=$(threadtune machine --json)
for told in '"cpus_online": "0-7"' '"packages": 2' '"numa_nodes": 2' '"smt_max": 2'; do
  grep -qF "$told" <<<"$found" || fail "no $told in: $found"
done

# Measured on all CPUs, and no less.
is_whole() { is_idle && grep -q '^cpus = "0-7"$' "$(profile)"; }
is_smaller() { is_idle && grep -q '^cpus = "0-4,6-7"$' "$(profile)"; }

step "a CPU goes while nothing is measured"
pid=$(property MainPID)
cp catalog.toml $catalogue
reload_and_rest
is_whole || fail "the profile is not one of 8 CPUs"
whole=$(profile)
before=$(undisturbed)
mark
echo 0 >$cpu
within 30 "a word about it" has_said "the CPUs that are online may have changed"
within 240 "a profile without it" is_smaller
is MainPID "$pid"
echo 1 >$cpu
within 240 "rest with all CPUs" is_whole
is MainPID "$pid"
is NRestarts 0
[ "$(profile)" = "$whole" ] || fail "the profile is $(profile), it was $whole"
[ "$(undisturbed)" = "$before" ] || fail "the profile of the whole machine has changed"
parses

step "a CPU goes while something is measured, and comes back"
begin_anew
pid=$(property MainPID)
for seconds in 3 2 1; do
  echo 0 >$cpu
  sleep "$seconds"
  echo 1 >$cpu
  sleep "$seconds"
done
within 480 "the end of the tuning" is_whole
is MainPID "$pid"
is NRestarts 0
holds gemm-a gemm-b gemm-c gemm-d gemv-e gemv-f

# The kernel kills what it thinks takes most, and the service goes on.
step "memory runs out while something is measured"
begin_anew
pid=$(property MainPID)
resident_kb() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status" 2>/dev/null; }
worker_is_large() { [ "$(resident_kb "$(worker)")" -gt "$(resident_kb "$pid")" ] 2>/dev/null; }
# One that has come to its end meanwhile would be no victim: it is made to stay.
has_stopped_worker() {
  local victim
  worker_is_large && victim=$(worker) && kill -STOP "$victim" 2>/dev/null && grep -q '^State:.T' "/proc/$victim/status"
}
within 60 "a worker that is larger than the service and stays" has_stopped_worker
mark
echo f >/proc/sysrq-trigger
has_victim() { said | grep -q 'OOM killer'; }
within 60 "the kernel's victim" has_victim
within 480 "rest" is_idle
is MainPID "$pid"
is NRestarts 0
is ActiveState active
parses
[ "$(told failed)" = 1 ] || fail "$(told failed) workloads failed, not 1"
# What failed is tried again when asked for.
has_all_six() { is_idle && [ "$(finished | wc -l)" = 6 ] && [ "$(told failed)" = 0 ]; }
systemctl reload $unit
within 480 "the end of the tuning" has_all_six
is MainPID "$pid"
holds gemm-a gemm-b gemm-c gemm-d gemv-e gemv-f

# Back by a day, and forward again: nothing measured is lost, and nothing waits for a day that has been.
clock_is_set_by() {
  local heard
  heard=$(times_heard)
  date -s "@$(($(date +%s) + $1))" >/dev/null
  within 60 "a word about the clock" has_heard_more_than "$heard"
  # It is said before it is looked what follows.
  sleep "$slowness"
}
times_heard() { timeout $((20 * slowness)) journalctl --no-pager --quiet --output=cat --unit=$unit | grep -c 'the clock was set' || true; }
has_heard_more_than() { [ "$(times_heard)" -gt "$1" ]; }

step "the clock is set back while nothing is measured"
pid=$(property MainPID)
before=$(undisturbed)
for seconds in -86400 86400; do
  clock_is_set_by $seconds
  within 120 "rest" is_idle
done
[ "$(undisturbed)" = "$before" ] || fail "the profile has changed"
is MainPID "$pid"

step "the clock is set back while something is measured"
begin_anew
pid=$(property MainPID)
had=$(finished)
clock_is_set_by -86400
for name in $had; do finished | grep -qx "$name" || fail "$name is lost"; done
within 480 "the end of the tuning" is_idle
holds gemm-a gemm-b gemm-c gemm-d gemv-e gemv-f
clock_is_set_by 86400
within 120 "rest" is_idle
is MainPID "$pid"
is NRestarts 0
