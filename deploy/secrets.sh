#!/bin/sh
# Make the secrets that compose.yaml needs, and keep those that are there:
#
#   .env                          the password of PostgreSQL, and the key that encrypts secrets of jobs
#   deploy/secrets/bootstrap-key  an API key that lets in as an admin
#   deploy/secrets/grafana-password  the password of Grafana's user admin
set -eu
umask 077
cd "$(dirname "$0")/.."

DIGITS=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz

random() {
    LC_ALL=C tr -dc A-Za-z0-9 < /dev/urandom | head -c "$1"
}

# `sch_`, 30 random digits of base 62, and their CRC-32 in six more, as `scheduler-api keys new` prints it.
new_key() {
    key=$(random 30) checksum=
    # gzip ends with the CRC-32 of what it packed, and the length.
    rest=$(printf %s "$key" | gzip -c | tail -c 8 | od -An -tu4 -N4)
    for _ in 1 2 3 4 5 6; do
        checksum=$(printf %s "$DIGITS" | cut -c $((rest % 62 + 1)))$checksum
        rest=$((rest / 62))
    done
    printf 'sch_%s%s\n' "$key" "$checksum"
}

add() {
    if ! grep -qs "^$1=" .env; then
        printf '%s=%s\n' "$1" "$2" >> .env
        echo "$1 is in .env"
    fi
}

add POSTGRES_PASSWORD "$(random 32)"
add SECRET_KEY "$(head -c 32 /dev/urandom | base64 | tr +/ -_)"
# The folder keeps others out; who is not root in a container has to read the files.
mkdir -p deploy/secrets
if [ ! -e deploy/secrets/bootstrap-key ]; then
    new_key > deploy/secrets/bootstrap-key
    chmod 444 deploy/secrets/bootstrap-key
    echo "an API key for an admin is in deploy/secrets/bootstrap-key"
fi
if [ ! -e deploy/secrets/grafana-password ]; then
    random 32 > deploy/secrets/grafana-password
    chmod 444 deploy/secrets/grafana-password
    echo "the password of Grafana's user admin is in deploy/secrets/grafana-password"
fi
