# What each service costs over a minute in which it has nothing to do.

minute=60

# The sum of a number that each thread (`task/*/status`) or each process (`smaps_rollup`) of a service has under a key.
sum() {
  local service=$1 file=$2 pattern=$3 pid
  for pid in $(cat "/sys/fs/cgroup/system.slice/$service/cgroup.procs"); do
    # Word splitting is meant: the name of the file is a pattern.
    cat /proc/$pid/$file
  done | awk -v "pattern=$pattern" '$1 ~ pattern { sum += $2 } END { print sum + 0 }'
}
cpu_us() { awk '$1 == "usage_usec" { print $2 }' "/sys/fs/cgroup/system.slice/$1/cpu.stat"; }
switches() { sum "$1" 'task/*/status' '^(non)?voluntary_ctxt_switches:$'; }

# Milliseconds from the start of the process to its READY, in the middle of five starts.
ready_ms() {
  local service=$1
  for _ in 1 2 3 4 5; do
    systemctl reset-failed "$service"
    systemctl restart "$service"
    systemctl show --property=ExecMainStartTimestampMonotonic --property=ActiveEnterTimestampMonotonic "$service" |
      sort -r | awk -F = '{ at[NR] = $2 } END { printf "%.1f\n", (at[2] - at[1]) / 1000 }'
  done | sort -n | sed -n 3p
}

row() {
  local service=$1 before before_us
  before=$(switches "$service") before_us=$(cpu_us "$service")
  sleep $minute
  printf '| %s | %s | %s | %s | %s | %s |\n' "$(systemctl show --value --property=Id "$service")" \
    "$(sum "$service" smaps_rollup '^Pss:$')" "$(sum "$service" smaps_rollup '^Rss:$')" \
    "$(awk -v "a=$before" -v "b=$(switches "$service")" -v "s=$minute" 'BEGIN { printf "%.2f", (b - a) / s }')" \
    $(($(cpu_us "$service") - before_us)) "$2"
}

step "starts of threadtune"
threadtune_ms=$(ready_ms $unit)
within 60 "rest" is_idle

step "starts of tuned"
tuned_ms=$(ready_ms tuned.service)
sleep 10

step "a minute of each"
{
  echo "| service | PSS, kB | RSS, kB | context switches/s | CPU time in $minute s, us | start to READY, ms |"
  echo "| --- | --- | --- | --- | --- | --- |"
  row $unit "$threadtune_ms"
  row tuned.service "$tuned_ms"
} | tee table.md
