#!/usr/bin/env bash
# Builds the image of the commit that is checked out, with docker buildx or, if there is no docker, buildah.
#
#   infra/docker/build.sh [OPTION...] TAG [ENGINE-ARGUMENT...]
#
#   --platform LIST    linux/amd64,linux/arm64, or one of them (default: this machine's)
#   --binaries DIR     takes DIR/amd64/scriptorium and DIR/arm64/scriptorium instead of compiling
#   --engine NAME      docker or buildah
#   --push             pushes it to the registry that TAG names
#
# Labels, and all times in the image, follow from the commit: two builds of a commit from the same base images have one
# digest. ENGINE-ARGUMENTs go to `docker buildx build` or `buildah bud`. docker keeps an image of two platforms only in
# a registry, or in containerd's image store.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
    sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

platform='' binaries='' engine='' push=''
while [[ ${1:-} == --* ]]; do
    if [[ $1 == --push ]]; then
        push=true
        shift
        continue
    fi
    [[ $# -ge 2 ]] || usage
    case $1 in
    --platform) platform=$2 ;;
    --binaries) binaries=$(realpath "$2") ;;
    --engine) engine=$2 ;;
    *) usage ;;
    esac
    shift 2
done
tag=${1:-}
[[ -n $tag ]] || usage
shift

if [[ -z $engine ]]; then
    engine=buildah
    ! docker buildx version >/dev/null 2>&1 || engine=docker
fi

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
revision=$(git rev-parse HEAD)
[[ -z $(git status --porcelain --untracked-files=no) ]] || revision+=-dirty
epoch=$(git log -1 --format=%ct)
arguments=(
    --file infra/docker/Dockerfile
    --build-arg VERSION="$version"
    --build-arg REVISION="$revision"
    --build-arg CREATED="$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)"
    --build-arg SOURCE_DATE_EPOCH="$epoch"
)
[[ -z $platform ]] || arguments+=(--platform "$platform")
[[ -z $binaries ]] || arguments+=(--build-context "binaries=$binaries")

case $engine in
docker)
    # With rewrite-timestamp, no file of a layer is newer than the commit.
    output="type=docker,name=$tag,rewrite-timestamp=true"
    [[ -z $push ]] || output="type=image,name=$tag,push=true,rewrite-timestamp=true"
    docker buildx build "${arguments[@]}" --output "$output" "$@" .
    ;;
buildah)
    # Debian 12's does not set it.
    case $(uname -m) in
    aarch64) arguments+=(--build-arg BUILDPLATFORM=linux/arm64) ;;
    *) arguments+=(--build-arg BUILDPLATFORM=linux/amd64) ;;
    esac
    target=--tag
    [[ $platform != *,* ]] || target=--manifest
    buildah bud "${arguments[@]}" --format oci --timestamp "$epoch" "$target" "$tag" "$@" .
    if [[ -n $push && $target == --manifest ]]; then
        buildah manifest push --all "$tag" "docker://$tag"
    elif [[ -n $push ]]; then
        buildah push "$tag" "docker://$tag"
    fi
    ;;
*) usage ;;
esac
