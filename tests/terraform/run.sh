#!/usr/bin/env bash
# Checks infra/terraform: format, validity, and what would be built, against a mock in place of AWS. Needs terraform
# and its provider for AWS. What cannot be had on this machine is skipped, loudly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

skipped() { printf '!! SKIPPED: %s\n' "$*" >&2; }

section() { printf '== %s\n' "$*"; }

section 'forwarder of uploads'
python3 -m unittest discover --start-directory tests/terraform --pattern 'test_*.py' --quiet

if ! command -v terraform >/dev/null; then
    skipped 'infra/terraform is not checked: there is no terraform here (developer.hashicorp.com/terraform/install)'
    exit 0
fi

# A copy, so that neither the working tree nor the state of a deployment is touched.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard infra/terraform |
    while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
    tar --create --null --files-from - | tar --extract --directory "$copy"
root=$copy/infra/terraform
"$root/modules/uploads/forwarder/build.sh"

# run FOLDER COMMAND...: runs terraform in a folder of the copy.
run() {
    local folder=$1
    shift
    terraform -chdir="$root/$folder" "$@" -no-color
}

# initialize FOLDER: gets the providers, without the backend.
initialize() { run "$1" init -backend=false -input=false >"$copy/log" 2>&1; }

section 'format'
terraform fmt -check -diff -recursive "$root"

section 'modules/values'
initialize modules/values
run modules/values test

section 'aws'
if initialize aws; then
    run aws validate
    run aws test
else
    tail -n 20 "$copy/log" >&2
    skipped 'infra/terraform/aws is neither validated nor tested: the provider hashicorp/aws cannot be had here'
fi

section 'addons'
if initialize addons; then
    run addons validate
else
    skipped 'infra/terraform/addons is not validated: the provider hashicorp/helm cannot be had here'
fi
