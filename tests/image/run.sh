#!/usr/bin/env bash
# Builds the image from infra/docker/Dockerfile as it is, and runs it as Kubernetes would: with a read-only root, as user
# 65532, without capabilities, beside a real broker and store.
#
#   tests/image/run.sh [--binaries DIR] [--arm64]
#
#   --binaries DIR    tests DIR/amd64/scriptorium (and DIR/arm64/scriptorium), as infra/docker/compile.sh writes them;
#                     by default the build of the development profile
#   --arm64           also builds the image for arm64, and runs it emulated on a short recording
#
# SCRIPTORIUM_TEST_MODELS is a folder with whisper-base, whisper-tiny.en and fsmn-vad. Takes the services that tests/services/start.sh
# has started, or starts them. Base images and ffmpeg are made once, in .cache/image. Needs root on Debian 12. Where
# containers cannot run, this is skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh
# shellcheck source=tests/image/bases.sh
source tests/image/bases.sh

host=$(dpkg --print-architecture)
cache=$PWD/.cache/image
models=${SCRIPTORIUM_TEST_MODELS:-$PWD/.cache/models}
helm=$PWD/.cache/chart/npm/helm4
tag=localhost/scriptorium-test
binaries='' arm64='' work='' services=''

skip() {
    printf '\n!! SKIPPED: the image is not tested: %s\n\n' "$1" >&2
    exit 0
}

clean_up() {
    if [[ -n $work ]]; then
        podman rm --all --force --time 0 >/dev/null 2>&1 || true
        podman pod rm --all --force --time 0 >/dev/null 2>&1 || true
        podman image unmount --all >/dev/null 2>&1 || true
        # Its layers are mounted by a process of podman, or not at all.
        umount "$work/store/overlay" 2>/dev/null || true
        rm -rf "$work"
    fi
    [[ -z $services ]] || tests/services/stop.sh "$services"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

step() {
    printf -- '-- %s (%d s)\n' "$1" "$SECONDS"
}

# Keeps images and containers apart from those of the machine.
configure_containers() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/scriptorium-image.XXXXXX")
    cat >"$work/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$work/store"
runroot = "$work/run"
CONF
    cat >"$work/containers.conf" <<CONF
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "$work/engine"
CONF
    export CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_CONF=$work/containers.conf
    # The build needs no privileges then.
    export BUILDAH_ISOLATION=chroot
}

# make_ffmpeg ARCHITECTURE: runs the stage of the Dockerfile, once for each version of it; prints a folder with what the
# other stages take from it.
make_ffmpeg() {
    local key stage=$tag:ffmpeg-$1 mounted
    key=$({
        sed -n '/ AS ffmpeg$/,/^FROM.* AS image$/p' infra/docker/Dockerfile
        cat infra/docker/ffmpeg.sh "$cache/debian-$host.tar"
    } | sha256sum | head -c 16)
    local folder=$cache/ffmpeg-$1-$key
    if [[ ! -d $folder ]]; then
        infra/docker/build.sh --engine buildah --platform "linux/$1" "$stage" --pull-never --target ffmpeg \
            >"$work/ffmpeg.log" 2>&1 || {
            tail -n 40 "$work/ffmpeg.log" >&2
            return 1
        }
        mounted=$(podman image mount "$stage")
        rm -rf "$cache/ffmpeg-$1-"*
        mkdir "$folder.part"
        cp -a "$mounted/out" "$folder.part/"
        podman image unmount "$stage" >/dev/null
        podman rmi --force "$stage" >/dev/null
        mv "$folder.part" "$folder"
    fi
    echo "$folder"
}

# build ARCHITECTURE TAG: prints the digest of the image's manifest.
build() {
    local ffmpeg
    ffmpeg=$(make_ffmpeg "$1") || return
    infra/docker/build.sh --engine buildah --platform "linux/$1" --binaries "$binaries" "$2" --pull-never \
        --build-context "ffmpeg=$ffmpeg" >"$work/build.log" 2>&1 || {
        tail -n 40 "$work/build.log" >&2
        return 1
    }
    rm -rf "$work/oci"
    buildah push --quiet --digestfile "$work/digest" "$2" "oci:$work/oci" >"$work/push.log" 2>&1 || {
        cat "$work/push.log" >&2
        return 1
    }
    cat "$work/digest"
}

check_contents() {
    local root
    podman image inspect "$2" >"$work/inspect.json"
    root=$(podman image mount "$2")
    python3 tests/image/contents.py "$work/inspect.json" "$root" "$1"
    podman image unmount "$2" >/dev/null
}

check_digest() {
    local first second
    first=$(build "$1" "$2") || return
    second=$(build "$1" "$2-again") || return
    [[ $first == "$second" ]] || {
        echo "two builds of one commit differ: $first, $second" >&2
        return 1
    }
    echo "$1: $first twice, $(du -sm "$work/oci" | cut -f 1) MB to pull"
}

# confined ARCHITECTURE PODMAN-ARGUMENT...: runs a container as a pod under the Pod Security Standard `restricted`.
confined() {
    local architecture=$1
    shift
    podman run --rm --arch "$architecture" --network none --read-only --read-only-tmpfs=false --tmpfs /tmp \
        --cap-drop all --security-opt no-new-privileges --user 65532:65532 --memory 1g \
        --env SCRIPTORIUM__MODELS__RECOGNIZER=whisper-tiny.en --volume "$models:/models:ro" --volume "$work/recordings:/recordings:ro" "$@"
}

# transcribe ARCHITECTURE TAG RECORDING DECODER: expects the word "amiable" in the transcript, and who decoded it.
transcribe() {
    confined "$1" "$2" transcribe "/recordings/$3" --format json >"$work/transcript.json" 2>"$work/transcribe.log" || {
        cat "$work/transcribe.log" >&2
        return 1
    }
    python3 - "$work/transcript.json" "$4" "$1: $3" <<'PYTHON'
import json, sys

path, decoder, what = sys.argv[1:]
with open(path) as file:
    transcript = json.load(file)
text = " ".join(segment["text"].strip() for segment in transcript["segments"])
print(f"{what}, decoded by {transcript['source'].get('decoder', 'scriptorium')}: {text}")
if "amiable" not in text or not transcript["source"].get("decoder", "scriptorium").startswith(decoder):
    sys.exit(f"expected the word 'amiable', decoded by {decoder}")
PYTHON
}

check_runs() {
    local version
    mkdir -p "$work/recordings"
    cp tests/fixtures/speech/sentence.opus "$work/recordings/"
    ffmpeg -loglevel error -y -i tests/fixtures/speech/sentence.wav -c:a ac3 "$work/recordings/sentence.ac3"
    chmod -R a+rX "$work/recordings"
    version=$(sed -n '0,/^version/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    confined "$1" "$2" --version | grep -F " $version" || {
        echo "--version does not say $version" >&2
        return 1
    }
    transcribe "$1" "$2" sentence.opus scriptorium
    transcribe "$1" "$2" sentence.ac3 ffmpeg
}

while [[ $# -gt 0 ]]; do
    case $1 in
    --binaries)
        binaries=$(realpath "$2")
        shift
        ;;
    --arm64) arm64=yes ;;
    *)
        sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
    esac
    shift
done

install_packages() {
    needs podman podman
    needs buildah buildah
    needs runc runc
    # Runs the infrastructure container of pods.
    needs /usr/libexec/podman/catatonit catatonit
    needs mmdebstrap mmdebstrap
    needs python3 python3
    needs ffmpeg ffmpeg
    needs git git
    needs strip binutils
    if [[ -n $arm64 && $host != arm64 ]]; then
        needs qemu-aarch64-static qemu-user-static
        needs update-binfmts binfmt-support
    fi
    install_missing >"$cache/packages.log" 2>&1 || {
        cat "$cache/packages.log" >&2
        return 1
    }
}

# A container of the simplest kind. If it does not run, the machine is at fault, not the image.
check_machine() {
    podman run --rm --network none --read-only --cap-drop all --memory 1g docker.io/library/debian:bookworm-slim true \
        >"$work/machine.log" 2>&1 && return
    cat "$work/machine.log" >&2
    skip "containers do not run on this machine"
}

prepare_binaries() {
    [[ -z $binaries ]] || return 0
    binaries=$work/binaries
    mkdir -p "$binaries/$host"
    strip --strip-debug -o "$binaries/$host/scriptorium" "${CARGO_TARGET_DIR:-target}/debug/scriptorium"
}

add_models() {
    mkdir -p "$work/context/models"
    # The chart's default.
    cp -r --reflink=auto "$models/whisper-base" "$models/fsmn-vad" "$work/context/models/"
    buildah bud --format oci --pull-never --file infra/docker/Dockerfile.models --build-arg IMAGE="$1" \
        --build-context "models=$work/context" --tag "$2" infra/docker >"$work/models.log" 2>&1 || {
        cat "$work/models.log" >&2
        return 1
    }
}

check_deployment() {
    local variables
    add_models "$tag:$host" "$tag:models"
    if [[ -z ${SCRIPTORIUM_TEST_AMQP_URL:-} ]]; then
        services=$work-services
        variables=$(tests/services/start.sh "$services")
        eval "$variables"
    fi
    [[ -e helm/scriptorium/Chart.yaml && -x $helm ]] || {
        helm=
        echo "no chart or no Helm here (tests/chart/run.sh installs it): tests/image/pod.yaml stands for the Deployment" >&2
    }
    python3 tests/image/deployment.py "$tag:models" "$work" ${helm:+"$helm"}
}

# Lets the kernel start programs for arm64 by the emulator.
enable_emulation() {
    local formats=/proc/sys/fs/binfmt_misc
    [[ -e $formats/status ]] || mount -t binfmt_misc none "$formats"
    [[ -e $formats/qemu-aarch64 ]] || update-binfmts --enable qemu-aarch64
}

mkdir -p "$cache"
[[ $(id -u) -eq 0 ]] || skip "it needs root"
install_packages
configure_containers
step 'base images'
make_bases "$host"
check_machine
step 'ffmpeg'
ffmpeg=$(make_ffmpeg "$host")/out/ffmpeg
python3 tests/image/decoders.py "$ffmpeg"
step "image for $host"
prepare_binaries
check_digest "$host" "$tag:$host"
check_contents "$host" "$tag:$host"
check_runs "$host" "$tag:$host"
step 'a job of the Deployment'
check_deployment
if [[ -n $arm64 && $host != arm64 ]]; then
    step 'image for arm64, emulated'
    enable_emulation
    make_bases arm64
    check_digest arm64 "$tag:arm64"
    check_contents arm64 "$tag:arm64"
    check_runs arm64 "$tag:arm64"
fi
step 'done'
