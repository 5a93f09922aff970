#!/usr/bin/env bash
# Runs a RabbitMQ of one test's own, which the test may stop and start again.
#
#   tests/services/node.sh create DIR   # starts it; prints its URL
#   tests/services/node.sh kill DIR     # ends it like a power failure
#   tests/services/node.sh halt DIR     # ends it in good order
#   tests/services/node.sh start DIR    # starts it again, with what it had stored, and waits for it
#   tests/services/node.sh queues DIR   # prints name and number of messages of each queue, tab-separated
#   tests/services/stop.sh DIR          # ends it for good and removes DIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
action=${1:?usage: node.sh create|kill|halt|start|queues DIR}
dir=${2:?usage: node.sh create|kill|halt|start|queues DIR}
# shellcheck source=tests/services/common.sh
source "$here/common.sh"
# shellcheck source=tests/services/rabbitmq.sh
source "$here/rabbitmq.sh"

# Prints the process group of the node.
group() {
    awk '$2 == "rabbitmq/server" { print $1 }' "$dir/pids"
}

# Removes a node that has ended from the list that stop.sh reads.
forget() {
    sed -i '/ rabbitmq\/server$/d' "$dir/pids"
}

gone() {
    ! kill -0 -- "-$1" 2>/dev/null
}

wait_for_node() {
    wait_until 90 rabbitmq_answers "$(<"$dir/port")" && return
    tail -n 15 "$dir"/rabbitmq/*.out >&2
    echo "node.sh: RabbitMQ does not answer" >&2
    exit 1
}

create() {
    local amqp_port dist_port epmd_port password
    mkdir -m 700 "$dir"
    dir=$(cd "$dir" && pwd)
    read -r amqp_port dist_port epmd_port < <(free_ports 3)
    password=$(random_word)
    echo "$amqp_port" >"$dir/port"
    configure_rabbitmq "$dir/rabbitmq" "$amqp_port" "$dist_port" "$epmd_port" "$password"
    start_rabbitmq
    wait_for_node
    echo "amqp://test:$password@127.0.0.1:$amqp_port/test"
}

# end SIGNAL
end() {
    local group
    group=$(group)
    kill -s "$1" -- "-$group"
    wait_until 60 gone "$group"
    forget
}

case $action in
create) create ;;
kill) end KILL ;;
halt) end TERM ;;
start)
    # shellcheck source=/dev/null
    source "$dir/rabbitmq/environment"
    in_background rabbitmq/server /usr/lib/rabbitmq/bin/rabbitmq-server
    wait_for_node
    ;;
queues)
    # shellcheck source=/dev/null
    source "$dir/rabbitmq/environment"
    timeout 60 /usr/lib/rabbitmq/bin/rabbitmqctl --quiet list_queues --vhost test name messages --no-table-headers
    ;;
*)
    echo "node.sh: unknown action $action" >&2
    exit 2
    ;;
esac
