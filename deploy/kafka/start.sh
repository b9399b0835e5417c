#!/bin/sh
# Start the broker of docker-compose.yml with the files that the job `keys` has made; make its log at the first start.
set -euf
files=${KAFKA_FILES:-/keys/kafka-broker}
# Not quoted: each line is an argument. With -f above, brackets in them are no pattern.
# shellcheck disable=SC2046
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id "$CLUSTER_ID" \
    --config "$files/server.properties" $(cat "$files/users")
exec /opt/kafka/bin/kafka-server-start.sh "$files/server.properties"
