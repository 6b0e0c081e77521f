# Sourced first inside: what the parts say. Every check that does not hold ends the payload with what was seen.

unit=threadtune.service
configuration=/etc/threadtune/threadtune.toml
catalogue=/etc/threadtune/catalog.toml
drop_ins=/run/systemd/system/$unit.d
# How many times longer than on real hardware anything may take.
slowness=${slowness:-1}
status=/run/threadtune/status.json
here=$PWD
step=beginning
begun=$SECONDS

# Ends the step before and begins another.
step() {
  [ "$step" = beginning ] || echo "right: $step ($((SECONDS - begun)) s)"
  step=$1 begun=$SECONDS
}

skip() { echo "skipped $step: $1"; step=beginning; }

fail() {
  exec >&2
  echo "failed: $step: $1"
  echo "-- systemctl status"
  systemctl status --no-pager --full --lines=0 $unit || true
  echo "-- journal"
  timeout 20 journalctl --no-pager --quiet --unit=$unit --lines=60 || true
  echo "-- status.json"
  cat $status || true
  echo
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND: exit code $?"' ERR

systemctl() { timeout $((90 * slowness)) /bin/systemctl "$@"; }
threadtune() { timeout $((30 * slowness)) /usr/bin/threadtune "$@"; }
# As a user who has nothing to do with the service.
as_nobody() { timeout $((30 * slowness)) runuser -u nobody -- env -i PATH=/usr/bin:/bin HOME=/nonexistent "$@"; }
property() { systemctl show --value --property="$1" $unit; }

is() { [ "$(property "$1")" = "$2" ] || fail "$1 is \"$(property "$1")\", not \"$2\""; }

# Waits at most $1 seconds for the thing that $2 says: the command after it.
within() {
  local limit=$((SECONDS + $1 * slowness)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $limit ] || fail "$what did not come about"
    sleep 0.2
  done
}

is_active() { [ "$(property ActiveState)" = active ]; }

# What the service, and systemd of it, have said since a moment that `mark` set.
mark() { moment=$(date '+%F %T.%6N'); }
said() { timeout $((20 * slowness)) journalctl --no-pager --quiet --output=cat --unit=$unit --since="$moment"; }
has_said() { said | grep -q -e "$1"; }

# The profile that the service keeps, or did last; a machine without one of its CPUs is another one and has another.
profile() {
  if [ -e $status ]; then told profile; else ls -t /var/lib/threadtune/profiles/*/native.toml | head -n 1; fi
}
# The workloads that the profile has a verdict of, one a line.
finished() { [ ! -e "$(profile)" ] || sed -n 's/^name = "\(.*\)"$/\1/p' "$(profile)"; }
has_finished() { [ "$(finished | wc -l)" -ge "$1" ]; }
# The value of a key of the status, which is one of text or a number. The file is read as it is: to start a program each
# time takes too long in a virtual machine.
told() {
  [ ! -e $status ] || sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" $status | head -n 1
}
is_measuring() { [ "$(told state)" = measuring ]; }
# All is measured; before its first look at the profile the service knows of nothing to do, nor of a profile. One read:
# the file may be another one a moment later.
is_idle() {
  local all
  all=$(tr -d ' \n' <$status) || return 1
  [[ $all == *'"state":"idle"'* && $all == *'"left":0}'* && $all != *'"profile":null'* ]]
}

# The profile holds just these workloads, each measured, and every tool reads it.
holds() {
  [ "$(finished | sort | xargs)" = "$(printf '%s\n' "$@" | sort | xargs)" ] ||
    fail "the profile has \"$(finished | xargs)\", not \"$*\""
  ! grep -q '^stop = "failed' "$(profile)" || fail "$(grep '^stop = "failed' "$(profile)")"
  parses
}
# What the profile says of the workloads that were not disturbed: the others are measured again whenever there is a chance.
undisturbed() {
  awk '
    function tell() { if (text != "" && text !~ /\nstop = "contaminated"/) printf "%s", text; text = "" }
    /^\[\[workload\]\]/ { tell(); inside = 1 }
    /^\[\[region\]\]|^\[region_conditions/ { tell(); inside = 0 }
    inside { text = text $0 "\n" }
    END { tell() }
  ' "$(profile)"
}
parses() { threadtune show --profile "$(profile)" --json >/dev/null || fail "the profile cannot be read"; }

# Nothing of the service runs any more, as a child of whatever process.
has_no_process() {
  local left
  left=$(grep -l "^Uid:[[:space:]]*$(id -u threadtune)[[:space:]]" /proc/[0-9]*/status 2>/dev/null || true)
  [ -z "$left" ] || fail "there is left: $(xargs head -n 1 <<<"$left")"
}
# The measuring process: what runs in the unit's control group beside the service itself.
worker() { grep -vx "$(property MainPID)" "/sys/fs/cgroup/system.slice/$unit/cgroup.procs" | head -n 1; }
has_worker() { [ -n "$(worker)" ]; }

# Has the configuration read again, and waits until what follows from that is done: a few counts are checked, and what
# others disturbed is tuned again.
reload_and_rest() {
  mark
  systemctl reload $unit
  within 30 "the reload" has_said "$configuration was read again"
  sleep "$slowness"
  within "${1:-120}" "rest after the reload" is_idle
}

# From nothing, with a long catalogue; the service must have finished a workload and be at the next one.
is_under_way() { has_finished 1 && is_measuring && has_worker; }
begin_anew() {
  systemctl stop $unit
  rm -rf /var/lib/threadtune/profiles
  cp longer.toml $catalogue
  systemctl reset-failed $unit
  systemctl start $unit
  within 120 "measuring after a finished workload" is_under_way
}

# Sets something of the unit, until `drop_nothing`.
drop_in() {
  mkdir -p $drop_ins
  printf '%s\n' '[Service]' "$@" >$drop_ins/test.conf
  systemctl daemon-reload
}
drop_nothing() {
  rm -r $drop_ins
  systemctl daemon-reload
}
