#!/bin/sh
# Start the broker of docker-compose.yml with the files that the job `keys` has made; make its log at the first start.
set -euf
files=${KAFKA_FILES:-/keys/kafka-broker}
# @: each line of the file is an argument, so that no password is in the list of processes.
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id "$CLUSTER_ID" \
    --config "$files/server.properties" "@$files/users"
exec /opt/kafka/bin/kafka-server-start.sh "$files/server.properties"
