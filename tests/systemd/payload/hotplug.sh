# A CPU of the virtual machine goes and comes back.

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
before=$(sha256sum <"$whole")
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
[ "$(sha256sum <"$whole")" = "$before" ] || fail "the profile of the whole machine has changed"
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
