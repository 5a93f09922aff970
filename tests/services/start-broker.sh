#!/usr/bin/env bash
# Starts the RabbitMQ of another Debian release, for tests against several versions: trixie has 4.0,
# forky has 4.3. It runs in a folder with that release's files, in namespaces of its own.
#
#   eval "$(tests/services/start-broker.sh SUITE DIR)"    # sets SCRIPTORIUM_TEST_AMQP_URL and _METRICS
#   tests/services/stop.sh DIR
#
# The release's files are kept in .cache/brokers. Exits with 75 if they cannot be fetched. Needs root,
# and Debian's mmdebstrap, python3 and util-linux.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
suite=${1:?usage: start-broker.sh SUITE DIR}
dir=${2:?usage: start-broker.sh SUITE DIR}
root=$here/../../.cache/brokers/$suite
home=/srv/scriptorium
# shellcheck source=tests/services/common.sh
source "$here/common.sh"
# shellcheck source=tests/services/rabbitmq.sh
source "$here/rabbitmq.sh"
mkdir -p "$(dirname "$dir")" "$(dirname "$root")"
mkdir -m 700 "$dir"
dir=$(cd "$dir" && pwd)

not_available() {
    tail -n 5 "$dir/fetch.out" >&2
    echo "start-broker.sh: RabbitMQ of Debian $suite is not available: $1" >&2
    rm -rf "$dir"
    exit 75
}

fetch() {
    [[ ! -x $root/usr/lib/rabbitmq/bin/rabbitmq-server ]] || return 0
    [[ $(id -u) -eq 0 ]] || not_available "fetching it needs root"
    # The mirror that this machine uses. It may be a snapshot, whose index has expired; signatures are
    # checked.
    local mirror
    # shellcheck disable=SC2016 # apt expands it
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    rm -rf "$root"
    mmdebstrap --quiet --variant=apt --mode=root --include=rabbitmq-server \
        --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
        "$suite" "$root.part" \
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
        >"$dir/fetch.out" 2>&1 || not_available "it cannot be fetched"
    [[ -e $root.part/dev/null ]] || mknod -m 666 "$root.part/dev/null" c 1 3
    [[ -e $root.part/dev/urandom ]] || mknod -m 666 "$root.part/dev/urandom" c 1 9
    # The broker resolves its own name.
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$root.part/etc/hosts"
    mv "$root.part" "$root"
}

: >"$dir/fetch.out"
unshare --mount --pid --fork true 2>>"$dir/fetch.out" || not_available "namespaces need root"
fetch
read -r amqp_port dist_port epmd_port metrics_port < <(free_ports 4)
password=$(random_word)
rm -rf "${root:?}$home"
mkdir -p "$root$home"
cat >"$root$home/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$amqp_port
default_vhost = test
default_user = test
default_pass = $password
disk_free_limit.absolute = 200MB
log.file = false
log.console = true
log.console.level = warning
CONF
echo '[].' >"$root$home/enabled_plugins"
serve_rabbitmq_metrics "$root$home" "$metrics_port"
# The namespaces end with their first process, and with them all that it has started and mounted.
setsid unshare --mount --pid --fork --mount-proc="$root/proc" --kill-child \
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=$home LANG=C.UTF-8 \
    RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_NODENAME="scriptorium-$amqp_port@localhost" \
    RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$home/enabled_plugins \
    RABBITMQ_MNESIA_BASE=$home/data RABBITMQ_LOG_BASE=$home RABBITMQ_DIST_PORT="$dist_port" \
    ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
    /usr/lib/rabbitmq/bin/rabbitmq-server >"$dir/server.out" 2>&1 </dev/null &
echo "$! broker" >"$dir/pids"
disown
if wait_until 60 rabbitmq_answers "$amqp_port"; then
    echo "export SCRIPTORIUM_TEST_AMQP_URL=amqp://test:$password@127.0.0.1:$amqp_port/test"
    echo "export SCRIPTORIUM_TEST_AMQP_METRICS=127.0.0.1:$metrics_port"
    exit 0
fi
tail -n 15 "$dir/server.out" >&2
"$here/stop.sh" "$dir" || true
echo "start-broker.sh: RabbitMQ of Debian $suite does not answer" >&2
exit 1
