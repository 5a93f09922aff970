#!/usr/bin/env bash
# Starts a private RabbitMQ and S3 server (Ceph's radosgw) for the tests, on loopback and free ports.
# They write only under one directory, so several instances can run at the same time.
#
#   eval "$(tests/services/start.sh DIR)"     # sets SCRIPTORIUM_TEST_*
#   tests/services/stop.sh DIR
#
# Creates DIR, which must not exist. On failure or a signal, stops all that it has started.
# Needs Debian's rabbitmq-server, ceph-mon, ceph-osd, ceph-common and radosgw, and python3.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: start.sh DIR}
# shellcheck source=tests/services/common.sh
source "$here/common.sh"
# shellcheck source=tests/services/rabbitmq.sh
source "$here/rabbitmq.sh"
mkdir -p "$(dirname "$dir")"
mkdir -m 700 "$dir"
dir=$(cd "$dir" && pwd)

fail() {
    echo "start.sh: $*" >&2
    exit 1
}

clean_up() {
    local status=$?
    if [[ $status -ne 0 ]]; then
        tail -n 15 "$dir"/*/*.out >&2 2>/dev/null || true
        "$here/stop.sh" "$dir" || true
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

amqp_password=$(random_word)
s3_access_key=AK$(random_word)
s3_secret_key=SK$(random_word)
s3_other_access_key=AK$(random_word)

start_ceph() {
    local home=$dir/ceph fsid
    fsid=$(cat /proc/sys/kernel/random/uuid)
    mkdir -p "$home"/{mon,osd,run,log}
    # One monitor, one storage daemon in memory, and no authentication between them.
    cat >"$home/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$mon_port
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
run dir = $home/run
admin socket = $home/run/\$name.asok
pid file = $home/run/\$name.pid
log file = $home/log/\$name.log
crash dir = $home/log
setuser match path =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon max pg per osd = 2000
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
[mon]
mon data = $home/mon
[osd]
osd data = $home/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd check max object name len on startup = false
osd class update on start = false
osd crush update on start = false
[client.rgw.test]
rgw frontends = beast endpoint=127.0.0.1:$s3_port
rgw thread pool size = 64
rgw run sync thread = false
rgw enable usage log = false
# It takes a broker's password only over TLS, or through a proxy that says so.
rgw trust forwarded https = true
debug rgw = 0
CONF
    export CEPH_CONF=$home/ceph.conf CEPH_ARGS="--conf $home/ceph.conf"
    {
        monmaptool --create --addv a "[v1:127.0.0.1:$mon_port]" --fsid "$fsid" "$home/monmap"
        ceph-mon --mkfs -i a --monmap "$home/monmap"
    } >"$home/mkfs.out" 2>&1
    in_background ceph/mon ceph-mon -i a -f

    local osd
    osd=$(cat /proc/sys/kernel/random/uuid)
    # Both may be repeated: a monitor that has just started answers some commands before it knows them.
    new_osd() { timeout 60 ceph osd new "$osd" 0 >"$home/osd-new.out" 2>&1; }
    place_osd() {
        timeout 60 ceph osd crush add osd.0 1.0 host=h root=default >"$home/crush.out" 2>&1
    }
    wait_until 20 new_osd || fail "the monitor knows no storage daemon"
    # Without this the daemon adds itself when it starts, and fails with "wrong fsid" if it does so
    # before it has received the monitor's map.
    wait_until 20 place_osd || fail "the monitor has no place for the storage daemon"
    ceph-osd -i 0 --mkfs --osd-uuid "$osd" >"$home/osd-mkfs.out" 2>&1
    in_background ceph/osd ceph-osd -i 0 -f
    wait_until 60 osd_is_up || fail "the storage daemon does not start"

    # Runs before radosgw, because both create the zone and its pools if they do not exist.
    timeout 120 radosgw-admin user create --uid=test --display-name=test \
        --access-key="$s3_access_key" --secret="$s3_secret_key" >"$home/user.out" 2>&1
    # An account without rights to anything of the other.
    timeout 120 radosgw-admin user create --uid=other --display-name=other \
        --access-key="$s3_other_access_key" --secret="$s3_secret_key" >>"$home/user.out" 2>&1
    in_background ceph/radosgw radosgw -n client.rgw.test -f
}

osd_is_up() {
    timeout 10 ceph osd stat | grep -q '1 up'
}

s3_answers() {
    python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=5)' \
        "http://127.0.0.1:$s3_port/"
}

management_answers() {
    python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)' \
        "$management_port"
}

read -r amqp_port dist_port epmd_port metrics_port management_port mon_port s3_port < <(free_ports 7)

configure_rabbitmq "$dir/rabbitmq" "$amqp_port" "$dist_port" "$epmd_port" "$amqp_password"
serve_rabbitmq_metrics "$dir/rabbitmq" "$metrics_port"
serve_rabbitmq_management "$dir/rabbitmq" "$management_port"
start_rabbitmq
start_ceph
wait_until 90 rabbitmq_answers "$amqp_port" || fail "RabbitMQ does not answer"
wait_until 30 management_answers || fail "the management API of RabbitMQ does not answer"
wait_until 90 s3_answers || fail "radosgw does not answer"

cat <<ENV
export SCRIPTORIUM_TEST_AMQP_URL=amqp://test:$amqp_password@127.0.0.1:$amqp_port/test
export SCRIPTORIUM_TEST_AMQP_METRICS=127.0.0.1:$metrics_port
export SCRIPTORIUM_TEST_AMQP_MANAGEMENT_URL=http://test:$amqp_password@127.0.0.1:$management_port
export SCRIPTORIUM_TEST_S3_ENDPOINT=http://127.0.0.1:$s3_port
export SCRIPTORIUM_TEST_S3_ACCESS_KEY=$s3_access_key
export SCRIPTORIUM_TEST_S3_SECRET_KEY=$s3_secret_key
export SCRIPTORIUM_TEST_S3_OTHER_ACCESS_KEY=$s3_other_access_key
ENV
