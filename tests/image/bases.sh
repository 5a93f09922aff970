# shellcheck shell=bash
# Makes the base images that infra/docker/Dockerfile names, from Debian's packages, where the registries that publish
# them cannot be reached. The Dockerfile needs no change: they get the same names. run.sh sources this file; it sets `cache`,
# a folder, and `host`, this machine's architecture.

# Packages of gcr.io/distroless/cc-debian12.
distroless=base-files,netbase,tzdata,ca-certificates,libc6,libssl3,libgcc-s1,libgomp1,libstdc++6

# sources SUITE: prints Debian's sources, from the mirrors that this machine uses, as debian:bookworm-slim has them.
sources() {
    local uri suite
    # shellcheck disable=SC2016 # apt expands it
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sort -u |
        while read -r uri suite; do
            case $suite in
            bookworm | bookworm-updates | bookworm-security)
                printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$suite"
                printf 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n'
                ;;
            esac
        done
}

# bootstrap FILE ARCHITECTURE MMDEBSTRAP-OPTION...: makes a root file system, once for this machine. Its times do not
# depend on when that was.
bootstrap() {
    local file=$1 architecture=$2
    shift 2
    [[ ! -e $file ]] || return 0
    # The mirror may be a snapshot, whose index has expired; signatures are checked.
    SOURCE_DATE_EPOCH=1700000000 mmdebstrap --quiet --mode=root --architectures="$architecture" \
        --aptopt='Acquire::Check-Valid-Until "false"' "$@" bookworm "$file.part.tar" \
        "${cache:?}/debian.sources" >"$file.log" 2>&1 || {
        cat "$file.log" >&2
        return 1
    }
    mv "$file.part.tar" "$file"
}

# import NAME ARCHITECTURE FILE: makes it an image.
import() {
    local container
    container=$(buildah from --arch "$2" scratch)
    buildah add --quiet "$container" "$3" / >/dev/null
    buildah commit --quiet --rm --timestamp 0 "$container" "$1" >/dev/null
}

# make_bases ARCHITECTURE: for images of this architecture, built on this machine.
make_bases() {
    sources >"$cache/debian.sources"
    # shellcheck disable=SC2016 # mmdebstrap's shell expands it
    bootstrap "$cache/debian-${host:?}.tar" "$host" --variant=apt \
        --customize-hook='mv "$1"/etc/apt/sources.list.d/*debian.sources "$1/etc/apt/sources.list.d/debian.sources"'
    # What the packages' scripts would write, which are not run.
    # shellcheck disable=SC2016
    bootstrap "$cache/cc-$1.tar" "$1" --variant=extract --include="$distroless" \
        --extract-hook='cat "$1"/usr/share/ca-certificates/mozilla/*.crt >"$1/etc/ssl/certs/ca-certificates.crt"' \
        --extract-hook='printf "%s\n" root:x:0:0::/root:/sbin/nologin nonroot:x:65532:65532::/home/nonroot:/sbin/nologin >"$1/etc/passwd"' \
        --extract-hook='printf "%s\n" root:x:0: nonroot:x:65532: >"$1/etc/group"' \
        --extract-hook='mkdir --mode=700 "$1/home/nonroot" && chown 65532:65532 "$1/home/nonroot"'
    import docker.io/library/debian:bookworm-slim "$host" "$cache/debian-$host.tar"
    import gcr.io/distroless/cc-debian12:nonroot "$1" "$cache/cc-$1.tar"
}
