#!/usr/bin/env bash
# Stops what start.sh started in DIR, last first, and removes DIR.
set -uo pipefail

dir=${1:?usage: stop.sh DIR}
[[ -d $dir ]] || exit 0

# Ours is what was started from this directory or still leads the session it was started with: the
# number alone may belong to somebody else by now.
alive() {
    kill -0 -- "-$1" 2>/dev/null
}

# The broker gets time to close its files; the rest keeps nothing worth closing.
stop() {
    local pid=$1 name=$2 tries=150
    if [[ $name == rabbitmq/server ]]; then
        kill -TERM -- "-$pid" 2>/dev/null
        while alive "$pid" && ((tries-- > 0)); do sleep 0.1; done
    fi
    kill -KILL -- "-$pid" 2>/dev/null
    tries=50
    while alive "$pid" && ((tries-- > 0)); do sleep 0.1; done
    if alive "$pid"; then
        echo "stop.sh: $name (process group $pid) is still running" >&2
        return 1
    fi
}

status=0
if [[ -f $dir/pids ]]; then
    while read -r pid name; do
        stop "$pid" "$name" || status=1
    done < <(tac "$dir/pids")
fi
rm -rf -- "$dir"
exit "$status"
