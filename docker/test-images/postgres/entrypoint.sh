#!/bin/sh
# Called as the official image is: postgres OPTIONS, with the password in POSTGRES_PASSWORD.
set -e
shift
echo "$POSTGRES_PASSWORD" > /data/password
/postgres/bin/initdb -D /data/cluster --username=postgres --pwfile=/data/password --auth=scram-sha-256 \
  --encoding=UTF8 --locale=C --no-sync
echo 'host all all all scram-sha-256' >> /data/cluster/pg_hba.conf
exec /postgres/bin/postgres -D /data/cluster -c listen_addresses='*' -c unix_socket_directories= "$@"
