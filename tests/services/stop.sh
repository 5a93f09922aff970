#!/usr/bin/env bash
# Stops what start.sh started in DIR, last first, and removes DIR.
set -uo pipefail

dir=${1:?usage: stop.sh DIR}
[[ -d $dir ]] || exit 0

# A dead process whose parent has not asked for its exit status does not count.
alive() {
    ps -e -o pgid=,stat= | awk -v group="$1" '$1 == group && $2 !~ /^Z/ { found = 1 } END { exit !found }'
}

# stop GROUP NAME: the process group that start.sh made. Killed outright: nothing that they keep is
# worth closing, and a broker that shuts down in order takes ten seconds.
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
