#!/usr/bin/env bash
# Tests the parts of the simulation of scaling (docs/scaling.md) against cases that were calculated by hand.
# Needs python3, and takes a few seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PYTHONPATH=../../scripts PYTHONDONTWRITEBYTECODE=1 exec python3 -m unittest --quiet
