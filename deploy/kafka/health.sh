#!/bin/sh
# Say whether the broker answers. The first answer since its start is that of Kafka's own client, a Java program; afterwards
# an open port is enough, because that program takes a tenth of a core when it is started every ten seconds.
set -euf
home=${KAFKA_HOME:-/opt/kafka}
answered=${KAFKA_ANSWERED:-/tmp/kafka-answered}
# Field 22 of process 1 is its start: a restarted container keeps its files.
started=$(cut -d ' ' -f 22 /proc/1/stat)
if [ "$(cat "$answered" 2>/dev/null || true)" = "$started" ]; then
    exec bash -c "exec 3<>/dev/tcp/127.0.0.1/${KAFKA_PORT:-9092}"
fi
KAFKA_HEAP_OPTS=-Xmx128m "$home/bin/kafka-broker-api-versions.sh" --bootstrap-server "localhost:${KAFKA_PORT:-9092}" \
    --command-config "${KAFKA_FILES:-/keys/kafka-broker}/health.properties" >/dev/null
printf %s "$started" >"$answered"
