#!/usr/bin/env bash
# Measures `scriptorium submit` against a local RabbitMQ and radosgw: a manifest of a million rows, the
# same interrupted and resumed, and a prefix of 20 000 objects. Prints jobs per second, the peak of
# resident memory, CPU time, and requests to the store. Passes its arguments to bench_submit.py, for
# example `scripts/bench-submit.sh --rows 100000`. Needs the packages of `make test`, and 3 GB of space for
# temporary files. Run it on an idle machine.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

needs_build_tools
needs /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
needs ceph ceph-common
needs ceph-mon ceph-mon
needs ceph-osd ceph-osd
needs radosgw radosgw
install_missing

cargo build --release --locked -p cli --bin scriptorium
exec python3 scripts/bench_submit.py --binary "${CARGO_TARGET_DIR:-target}/release/scriptorium" "$@"
