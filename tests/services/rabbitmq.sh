# shellcheck shell=bash
# Functions that run this machine's RabbitMQ under $dir/rabbitmq. Other scripts source this file after
# common.sh and set $dir.

# configure_rabbitmq HOME AMQP_PORT DISTRIBUTION_PORT EPMD_PORT PASSWORD
configure_rabbitmq() {
    local home=$1 amqp_port=$2 dist_port=$3 epmd_port=$4 password=$5
    mkdir -p "$home"
    cat >"$home/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$amqp_port
default_vhost = test
default_user = test
default_pass = $password
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
loopback_users = none
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 200MB
log.console = false
CONF
    echo '[].' >"$home/enabled_plugins"
    cat >"$home/environment" <<CONF
export HOME=$home
export RABBITMQ_NODENAME=scriptorium-$amqp_port@localhost
export RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf
export RABBITMQ_CONF_ENV_FILE=/dev/null
export RABBITMQ_ENABLED_PLUGINS_FILE=$home/enabled_plugins
export RABBITMQ_MNESIA_BASE=$home/mnesia
export RABBITMQ_LOG_BASE=$home/log
export RABBITMQ_PID_FILE=$home/pid
export RABBITMQ_DIST_PORT=$dist_port
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
export ERL_EPMD_PORT=$epmd_port
export ERL_EPMD_ADDRESS=127.0.0.1
CONF
}

# serve_rabbitmq_metrics HOME PORT: has the configured node show Prometheus its metrics.
serve_rabbitmq_metrics() {
    local home=$1 port=$2
    printf 'prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = %s\n' "$port" >>"$home/rabbitmq.conf"
    sed -i 's/\]\./,rabbitmq_prometheus]./; s/\[,/[/' "$home/enabled_plugins"
}

# serve_rabbitmq_management HOME PORT: has the configured node serve its management API, which tells KEDA how
# many messages there are.
serve_rabbitmq_management() {
    local home=$1 port=$2
    # It collects numbers every second, instead of five, which queues state every five seconds.
    printf 'management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %s\ncollect_statistics_interval = 1000\n' \
        "$port" >>"$home/rabbitmq.conf"
    sed -i 's/\]\./,rabbitmq_management]./; s/\[,/[/' "$home/enabled_plugins"
}

# Starts epmd and the node.
start_rabbitmq() (
    # shellcheck source=/dev/null
    source "${dir:?}/rabbitmq/environment"
    # A node that crashes writes its core into the working directory.
    cd "$HOME" || exit
    # Starts epmd first, because the node would start one that outlives it.
    in_background rabbitmq/epmd epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1
    in_background rabbitmq/server /usr/lib/rabbitmq/bin/rabbitmq-server
)
