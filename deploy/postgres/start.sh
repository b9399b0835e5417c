#!/bin/sh
# Start PostgreSQL with a copy of its certificate and key that belongs to its user, as it requires. Within a minute of a
# new one it reads that: connections go on, later ones see the new certificate.
set -eu
given=/keys/tls/tls.pem
folder=/var/run/postgresql/tls
take() {
    install -d -o postgres -g postgres -m 0700 "$folder"
    install -o postgres -g postgres -m 0600 "$given" "$folder/new.pem"
    mv "$folder/new.pem" "$folder/tls.pem"
}
take
(
    while sleep 60; do
        cmp -s "$given" "$folder/tls.pem" || { take && gosu postgres sh -c 'kill -HUP 1'; }
    done
) &
exec docker-entrypoint.sh "$@"
