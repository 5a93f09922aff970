#!/usr/bin/env bash
# Looks for insecure settings in infra/terraform with checkov. Installs it into .cache the first time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

make_venv .cache/checkov --requirement scripts/requirements/checkov.txt
# Its own rules only: without a key it would get no others, and should ask nobody.
.cache/checkov/bin/checkov --directory infra/terraform --framework terraform --skip-download --quiet --compact
