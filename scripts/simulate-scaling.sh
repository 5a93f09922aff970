#!/usr/bin/env bash
# Simulates a fleet that KEDA scales, and plots it: docs/scaling.md has the tables and docs/images the plots.
# Passes its arguments to simulate_scaling.py. Takes some minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

venv=.cache/plots/venv
make_venv "$venv" -r scripts/requirements/plots.txt
case " $* " in
*" --rehearsal "*) ;;
*) set -- --plot "$@" ;;
esac
exec "$venv/bin/python" scripts/simulate_scaling.py "$@"
