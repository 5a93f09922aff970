# shellcheck shell=bash
# Functions of the scripts that start services. Other scripts source this file.

# Prints $1 free ports. They are below the kernel's range for outgoing connections (32768 and up), so
# that no such connection takes a port between this check and the server's bind. All are bound at the
# same time, so that they differ.
free_ports() {
    python3 - "$1" <<'PYTHON'
import random, socket, sys

held = []
while len(held) < int(sys.argv[1]):
    probe = socket.socket()
    try:
        probe.bind(("127.0.0.1", random.randint(15000, 32000)))
        held.append(probe)
    except OSError:
        probe.close()
print(*(probe.getsockname()[1] for probe in held))
PYTHON
}

random_word() {
    head -c 16 /proc/sys/kernel/random/uuid | tr -d -
}

# wait_until SECONDS COMMAND...: retries the command until it succeeds or the time is over.
wait_until() {
    local tries=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        ((tries-- > 0)) || return 1
        sleep 0.2
    done
}

# rabbitmq_answers PORT: whether a broker is ready there.
rabbitmq_answers() {
    # A broker that is ready answers a protocol header with Connection.Start (method 10.10).
    python3 - "$1" <<'PYTHON'
import socket, sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5) as broker:
    broker.sendall(b"AMQP\x00\x00\x09\x01")
    sys.exit(broker.recv(11)[7:11] != b"\x00\x0a\x00\x0a")
PYTHON
}

# in_background NAME COMMAND...: runs the command with its output in $dir/NAME.out and adds its process
# id to the list that stop.sh reads. It has its own session, so that Ctrl-C does not reach it directly.
in_background() {
    local name=$1
    shift
    setsid "$@" >"${dir:?}/$name.out" 2>&1 </dev/null &
    echo "$! $name" >>"$dir/pids"
    disown
}
