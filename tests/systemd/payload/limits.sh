# Limits that the administrator sets while the service runs, and takes away again. Each is skipped by name where the
# kernel's controller is not in this hierarchy.

# Runs a step named $2, by the command after that, if there is the controller $1.
with_controller() {
  local controller=$1
  step "$2"
  shift 2
  if grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers; then
    "$@"
  else
    skip "there is no controller $controller"
  fi
}

# Whose limits are set: the unit's own, or those of a group above it.
limited=$unit
limit() { systemctl set-property --runtime $limited "$1"; }
has_noticed() { has_said 'a CPU quota or cpuset was written'; }
# The cores among the CPUs are the machine's matter.
knows_budget() { is_idle && grep -qE "^budget = \{ ${1/, limit/,( cores = [0-9]+,)? limit}" "$(profile)"; }

# Sets $1, under which the profile is to know the budget $2, of $3 threads at most; $4 takes that away.
cpus() {
  local setting=$1 budget=$2 most=$3 without=$4 all pid
  all=$(nproc --all)
  mark
  limit "$setting"
  within 30 "a word about $setting" has_noticed
  # It is said before it is looked what follows.
  sleep "$slowness"
  within 120 "rest" is_idle
  # From nothing, under the limit.
  systemctl daemon-reload
  systemctl stop $unit
  rm -rf /var/lib/threadtune/profiles
  cp catalog.toml $catalogue
  systemctl start $unit
  within 240 "the end of the tuning" is_idle
  holds $small
  knows_budget "$budget" || fail "the budget is not $budget: $(grep '^budget' "$(profile)")"
  ! grep -oE 'threads = [0-9]+' "$(profile)" | awk -v "most=$most" '$3 > most { print; more = 1 } END { exit !more }' ||
    fail "so many threads were measured"
  # And now without, with the same process.
  pid=$(property MainPID)
  mark
  limit "$without"
  within 30 "a word about $without" has_said "$all CPUs may be used, more than when these were measured, which are tuned again"
  within 480 "another tuning" knows_budget "cpus = \"0-$((all - 1))\", limit = $all,"
  holds $small
  is MainPID "$pid"
  is NRestarts 0
}
with_controller cpu "a quota of its own" \
  cpus CPUQuota=250% "cpus = \"0-$(($(nproc --all) - 1))\", limit = 2, by = \"quota\"" 2 CPUQuota=
limited=system.slice
with_controller cpu "a quota of its slice" \
  cpus CPUQuota=250% "cpus = \"0-$(($(nproc --all) - 1))\", limit = 2, by = \"quota\"" 2 CPUQuota=
limited=$unit
with_controller cpuset "a cpuset" \
  cpus AllowedCPUs=0-3 'cpus = "0-3", limit = 4,' 4 AllowedCPUs=

# The same limits, written again when systemd is told to read its units: the measuring goes on.
step "the same limits once more"
begin_anew
pid=$(property MainPID)
for _ in 1 2 3; do systemctl daemon-reload; sleep 1; done
within 480 "the end of the tuning" is_idle
is MainPID "$pid"
is NRestarts 0
holds gemm-a gemm-b gemm-c gemm-d gemv-e gemv-f

rm -rf /run/systemd/system.control/{$unit,system.slice}.d
systemctl daemon-reload
