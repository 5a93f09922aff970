#!/usr/bin/env bash
# Stops the services that start.sh started in DIR, in reverse order, and removes DIR.
set -uo pipefail

dir=${1:?usage: stop.sh DIR}
[[ -d $dir ]] || exit 0

# alive GROUP: whether the process group has a process that is not a zombie.
alive() {
    ps -e -o pgid=,stat= | awk -v group="$1" '$1 == group && $2 !~ /^Z/ { found = 1 } END { exit !found }'
}

# stop GROUP NAME: kills a process group of start.sh and waits until it is gone. SIGKILL is enough,
# because no data is kept, and an orderly shutdown of the broker takes ten seconds.
stop() {
    local group=$1 name=$2 tries=100
    kill -KILL -- "-$group" 2>/dev/null
    while alive "$group"; do
        if ((tries-- == 0)); then
            echo "stop.sh: $name (process group $group) is still running" >&2
            return 1
        fi
        sleep 0.1
    done
}

status=0
if [[ -f $dir/pids ]]; then
    while read -r group name; do
        stop "$group" "$name" || status=1
    done < <(tac "$dir/pids")
fi
rm -rf -- "$dir"
exit "$status"
