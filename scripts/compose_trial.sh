#!/usr/bin/env bash
# Build the image, run compose.yaml with three replicas, and see what it bears: scripts/trial/checks.py.
#
#   scripts/compose_trial.sh             with Docker; where none runs, on stand-ins
#   scripts/compose_trial.sh --docker    with Docker, or not at all
#   scripts/compose_trial.sh --stand-in  as root on Debian; needs neither Docker nor an image registry
#
# About three minutes, and some more the first time. With Docker, ports 5000 and 8080 must be free.
set -euo pipefail
cd "$(dirname "$0")/.."

export PYTHON=${PYTHON:-$PWD/.venv/bin/python}
export TRIAL_CACHE=${TRIAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scheduler-api-trial}
# Not the project that a user may have running; and a password with everything that could break a URL.
export COMPOSE_PROJECT_NAME=scheduler-trial POSTGRES_PASSWORD="tri@l: a/b?c%2F#'\""
SECRET_KEY=$(head -c 32 /dev/urandom | base64 | tr +/ -_)
export SECRET_KEY BOOTSTRAP_KEY_FILE=$TRIAL_CACHE/bootstrap-key
log=$TRIAL_CACHE/services.log

trial() {
    trap down EXIT
    down
    printf '\n== Up, with three replicas\n'
    # The file is the service's to read, which is not root in its container.
    "$PYTHON" -m scheduler_api keys new > "$BOOTSTRAP_KEY_FILE"
    chmod 444 "$BOOTSTRAP_KEY_FILE"
    # With single sign-on, by the provider of the tests.
    export COMPOSE_FILE=compose.yaml:deploy/compose.oidc.yaml
    if $COMPOSE --profile adminer up --detach --no-build --scale api=3 --wait --wait-timeout 120 2> "$log" &&
        "$PYTHON" scripts/trial/checks.py; then
        return
    fi
    $COMPOSE logs --no-color >> "$log" 2>&1 || true
    printf 'FAIL  what the services said is in %s\n' "$log"
    return 1
}

down() {
    $COMPOSE --profile adminer down --volumes --timeout 10 > /dev/null 2>&1 || true
}

mkdir -p "$TRIAL_CACHE"
mode=${1:-}
if [ -z "$mode" ]; then
    mode=--stand-in
    ! docker info > /dev/null 2>&1 || mode=--docker
fi
case $mode in
    --docker)
        export ENGINE=docker COMPOSE="docker compose"
        $COMPOSE build
        trial
        ;;
    --stand-in) exec scripts/trial/stand_ins.sh "$PWD/scripts/compose_trial.sh" --inside ;;
    --inside) trial ;;
    *)
        sed -n '2,/^set/s/^# \?//p' scripts/compose_trial.sh
        exit 64
        ;;
esac
