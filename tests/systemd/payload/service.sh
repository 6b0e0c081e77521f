# The service under way: reload, a second one, a crash, a hang, a stop in the middle.

step "reload"
pid=$(property MainPID)
# Two catalogues: what has a verdict keeps it, what is new is measured.
cat longer.toml >>$catalogue
reload_and_rest 240
holds $small gemm-a gemm-b gemm-c gemm-d gemv-e gemv-f
is MainPID "$pid"
is ActiveState active

step "reload of a broken configuration"
before=$(sha256sum <"$(profile)")
mark
sed 's/^quiet = .*/quiet = "soon"/; /^catalogue/d' threadtune.toml >$configuration
line=$(grep -n '^quiet' $configuration | cut -d : -f 1)
systemctl reload $unit
within 30 "a word about the line" has_said "$configuration, line $line, key .daemon.quiet"
is MainPID "$pid"
within 30 "the end of the reload" is_active
is SubState running
# The catalogue of the program itself would have much left.
sleep $((2 * slowness))
is_idle || fail "the settings are others: $(told state), $(told left) left"
[ "$(sha256sum <"$(profile)")" = "$before" ] || fail "the profile has changed"
cp threadtune.toml $configuration
cp catalog.toml $catalogue
reload_and_rest
is MainPID "$pid"

step "a second one"
code=0
timeout $((30 * slowness)) runuser -u threadtune -- threadtune daemon >second.log 2>&1 || code=$?
[ $code != 0 ] && [ $code != 124 ] || fail "it ended with $code: $(cat second.log)"
grep -q "$pid" second.log || fail "it does not name process $pid: $(cat second.log)"
[ "$(wc -l <second.log)" = 1 ] || fail "it says more than a line: $(cat second.log)"
is MainPID "$pid"
is ActiveState active

step "a crash at rest"
# Has systemd started it again?
is_restarted() { [ "$(property NRestarts)" -gt "$restarts" ] && is_active && [ "$(property MainPID)" != "$pid" ]; }
restarts=$(property NRestarts)
undisturbed >before.toml
kill -KILL "$pid"
within 60 "a restart" is_restarted
within 60 "rest" is_idle
undisturbed | cmp before.toml - || fail "the profile has changed"
as_nobody threadtune status >/dev/null || fail "no status for users"

step "a crash in the middle of tuning"
begin_anew
pid=$(property MainPID) restarts=$(property NRestarts) had=$(finished)
kill -KILL "$pid"
within 60 "a restart" is_restarted
parses
for workload in $had; do finished | grep -qx "$workload" || fail "$workload is lost"; done
within 240 "the end of the tuning" is_idle
holds gemm-a gemm-b gemm-c gemm-d gemv-e gemv-f

step "a hang"
# A stopped process does not heed SIGABRT: systemd kills it once it has waited for that.
drop_in WatchdogSec=2s TimeoutAbortSec=2s
systemctl reset-failed $unit
systemctl restart $unit
pid=$(property MainPID) restarts=$(property NRestarts)
mark
# Alive for longer than the watchdog waits: the loop tells so.
sleep 5
is MainPID "$pid"
is NRestarts "$restarts"
kill -STOP "$pid"
within 60 "a restart" is_restarted
said | grep -q 'Watchdog timeout' || fail "it was not the watchdog"
parses
drop_nothing
systemctl restart $unit
within 60 "rest" is_idle

step "a stop in the middle of tuning"
begin_anew
mark
had=$(finished)
first=$(sed -n '/^\[\[workload\]\]/,/^\[\[workload\]\]/p' "$(profile)" | sed '$d')
systemctl stop $unit
is ActiveState inactive
is Result success
is ExecMainStatus 0
has_no_process
! said | grep -e 'SIGKILL' -e 'timed out' || fail "it did not end by itself"
parses
for workload in $had; do finished | grep -qx "$workload" || fail "$workload is lost"; done
[ "$(finished | wc -l)" -lt 6 ] || fail "nothing was left to do: the test has told nothing"
systemctl start $unit
within 240 "the end of the tuning" is_idle
holds gemm-a gemm-b gemm-c gemm-d gemv-e gemv-f
# What was finished has not been measured again.
grep -qxF -e "$(printf '%s\n' "$first" | grep '^latency')" "$(profile)" || fail "the first workload was measured again"
