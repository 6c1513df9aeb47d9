# What a bare Debian machine lacks: packages, cargo on the PATH, a Docker engine.
# Sourced by deploy/quickstart and tests/run; changes nothing by being sourced.

# A root shell reached by su may lack where daemons and useradd live.
PATH=$PATH:/usr/sbin:/sbin
export PATH

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

require_root() {
    [ "$(id -u)" = 0 ] || die "this needs root: sudo $0"
}

# need_packages PROGRAM:PACKAGE... — installs the packages whose program (or file) is missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        case $pair in
        /*) [ -e "${pair%%:*}" ] || missing+=("${pair#*:}") ;;
        *) command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "missing: ${missing[*]} (and there is no apt-get to install them with)"
    say "Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q </dev/null
    apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
}

# sudo drops the PATH on which rustup put cargo.
find_cargo() {
    local home candidate
    home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
    for candidate in "${CARGO_HOME:-}" "$home/.cargo" /root/.cargo /usr/local/cargo; do
        [ -z "$candidate" ] || PATH=$PATH:$candidate/bin
    done
    export PATH
    command -v cargo >/dev/null || die "no cargo: install a Rust toolchain first (https://rustup.rs)"
}

# Runs a command as the person who called sudo, so that what it builds is theirs.
as_caller() {
    if [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ] && [ "$(stat -c %U .)" = "$SUDO_USER" ]; then
        runuser -u "$SUDO_USER" -- env "PATH=$PATH" "$@"
    else
        "$@"
    fi
}

engine_answers() { timeout 20 docker info >/dev/null 2>&1; }

# Starts a Docker engine if none answers. Sets ENGINE_PID when it is ours to stop.
ENGINE_PID=
start_engine() {
    engine_answers && return 0
    if [ -d /run/systemd/system ]; then
        systemctl start docker
    else
        mount_cgroups
        # Second attempt: machines whose kernel lets nobody touch its network. Containers run
        # with --network=none then, which is all the crashing programs need.
        start_dockerd || start_dockerd --iptables=false --bridge=none
    fi
    engine_answers || die "no Docker engine answers and none could be started; see /var/log/aground-dockerd.log, or start one and run this again"
}

start_dockerd() {
    say "Starting dockerd $*"
    rm -f /var/run/docker.pid
    setsid dockerd "$@" >>/var/log/aground-dockerd.log 2>&1 </dev/null &
    ENGINE_PID=$!
    local second
    for second in $(seq 40); do
        engine_answers && return 0
        kill -0 "$ENGINE_PID" 2>/dev/null || break
        sleep 1
    done
    kill "$ENGINE_PID" 2>/dev/null || true
    wait "$ENGINE_PID" 2>/dev/null || true
    ENGINE_PID=
    return 1
}

mount_cgroups() {
    mountpoint -q /sys/fs/cgroup && return 0
    need_packages cgroupfs-mount:cgroupfs-mount
    cgroupfs-mount
}
