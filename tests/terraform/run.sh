#!/usr/bin/env bash
# Checks infra/terraform: format, validity, and what would be built for AWS, against a mock in place of AWS. Needs
# terraform and its provider for AWS; what cannot be had on this machine is skipped, loudly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

skipped() { printf '!! SKIPPED: %s\n' "$*" >&2; }

echo 'forwarder of uploads'
python3 -m unittest discover --start-directory tests/terraform --pattern 'test_*.py' --quiet

if ! command -v terraform >/dev/null; then
    skipped "infra/terraform is not checked: there is no terraform here (developer.hashicorp.com/terraform/install)"
    exit 0
fi

# A copy, so that neither the working tree nor a deployment's state is touched.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard infra/terraform |
    while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
    tar --create --null --files-from - | tar --extract --directory "$copy"
root=$copy/infra/terraform
"$root/modules/uploads/forwarder/build.sh"

echo 'format'
terraform fmt -check -diff -recursive "$root"

# initialize ROOT: gets the providers of a root module, without its backend.
initialize() {
    terraform -chdir="$root/$1" init -backend=false -input=false -no-color >"$copy/$1.log" 2>&1
}

if initialize aws; then
    terraform -chdir="$root/aws" validate -no-color
    terraform -chdir="$root/aws" test -no-color
else
    skipped "infra/terraform/aws is neither validated nor tested: its provider cannot be had here"
    tail -n 20 "$copy/aws.log" >&2
fi

if initialize addons; then
    terraform -chdir="$root/addons" validate -no-color
else
    skipped "infra/terraform/addons is not validated: its provider (hashicorp/helm) cannot be had here"
fi
