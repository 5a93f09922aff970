#!/usr/bin/env bash
# Makes the users of infra/terraform/broker-users.sh in a real RabbitMQ, checks what each may do, and has the forwarder
# of uploads publish to it as its user.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/services/common.sh
source tests/services/common.sh
# shellcheck source=tests/services/rabbitmq.sh
source tests/services/rabbitmq.sh

if [[ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]; then
    echo '!! SKIPPED: the users of the broker are not checked: there is no rabbitmq-server here' >&2
    exit 0
fi

base=$(mktemp -d)
dir=$base/run
mkdir -m 700 "$dir"
clean_up() {
    tests/services/stop.sh "$dir"
    rm -rf "$base"
}
trap clean_up EXIT

read -r amqp distribution epmd management <<<"$(free_ports 4)"
configure_rabbitmq "$dir/rabbitmq" "$amqp" "$distribution" "$epmd" first-password
# As Amazon MQ makes one.
cat >>"$dir/rabbitmq/rabbitmq.conf" <<CONF
default_vhost = /
default_user = bootstrap
default_user_tags.administrator = true
management.tcp.ip = 127.0.0.1
management.tcp.port = $management
CONF
echo '[rabbitmq_management].' >"$dir/rabbitmq/enabled_plugins"
start_rabbitmq
url=http://127.0.0.1:$management
wait_until 60 curl --silent --fail --user bootstrap:first-password "$url/api/overview"

# Through a tunnel, as for a broker that is private.
BROKER_PASSWORD=first-password BROKER_VIA=127.0.0.1:$management \
    infra/terraform/broker-users.sh http://broker.invalid >"$dir/first.json"
password() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$dir/$1.json" "$2"; }
# Again, by the administrator that it made: all passwords are new.
BROKER_USER=admin BROKER_PASSWORD=$(password first admin) infra/terraform/broker-users.sh "$url" >"$dir/users.json"

# request USER:PASSWORD METHOD PATH [BODY]: prints the status.
request() {
    curl --silent --output "$dir/answer" --write-out '%{http_code}' --user "$1" --request "$2" \
        --header 'content-type: application/json' ${4:+--data "$4"} "$url/api/$3"
}
# expect WHAT WANTED USER METHOD PATH [BODY]
expect() {
    local what=$1 wanted=$2 user=$3 got
    shift 3
    got=$(request "$user" "$@")
    if [[ $got != "$wanted" ]]; then
        echo "$what: status $got instead of $wanted: $(cat "$dir/answer")" >&2
        return 1
    fi
    echo "ok: $what"
}

admin=admin:$(password users admin)
keda=keda:$(password users keda)
uploads=uploads:$(password users uploads)
expect 'the first password is over' 401 bootstrap:first-password GET overview
expect "the administrator's first password is over" 401 "admin:$(password first admin)" GET overview
expect 'programs have no access to the management' 401 "scriptorium:$(password users scriptorium)" GET overview

# What the bridge declares.
expect 'the administrator may do all' 201 "$admin" PUT queues/%2F/scriptorium.uploads '{"durable":true}'
expect 'the exchange' 201 "$admin" PUT exchanges/%2F/scriptorium.uploads '{"type":"topic","durable":true}'

forward() {
    python3 - "$url" "$(password users uploads)" "$@" <<'PYTHON'
import sys

sys.path.insert(0, "infra/terraform/modules/uploads/forwarder")
import forwarder

url, password, exchange, expected = sys.argv[1:]
broker = forwarder.Broker(url, "/", exchange, "uploads", password)
answer = forwarder.forward(broker, [{"messageId": "1", "body": '{"Records":[]}'}, {"messageId": "2", "body": "ü"}])
failed = len(answer["batchItemFailures"])
assert failed == int(expected), f"{failed} messages failed instead of {expected}"
PYTHON
}
forward scriptorium.uploads 2 # Nothing is bound: the message would be lost.
expect 'the binding' 201 "$admin" POST bindings/%2F/e/scriptorium.uploads/q/scriptorium.uploads '{"routing_key":"#"}'
forward scriptorium.uploads 0
forward amq.default 2
echo 'ok: the forwarder publishes to its exchange, and to no other'

get='{"count":2,"ackmode":"ack_requeue_false","encoding":"auto"}'
expect 'keda lists queues' 200 "$keda" GET 'queues/%2F?use_regex=true&name=%5Escriptorium'
expect 'keda reads no messages' 401 "$keda" POST queues/%2F/scriptorium.uploads/get "$get"
expect 'keda deletes no queues' 401 "$keda" DELETE queues/%2F/scriptorium.uploads
expect 'the forwarder reads no messages' 401 "$uploads" POST queues/%2F/scriptorium.uploads/get "$get"
expect 'the messages are there' 200 "$admin" POST queues/%2F/scriptorium.uploads/get "$get"
python3 - "$dir/answer" <<'PYTHON'
import json, sys

messages = [message["payload"] for message in json.load(open(sys.argv[1]))]
assert messages == ['{"Records":[]}', "ü"], messages
print("ok: as they were published")
PYTHON
