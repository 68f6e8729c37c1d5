#!/usr/bin/env bash
# The standby of docker-compose.yml: copies the primary once, then follows it.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # What an interrupted copy left.
  rm -rf "$PGDATA" "$PGDATA.new"
  mkdir -p "$(dirname "$PGDATA")"
  pg_basebackup --pgdata="$PGDATA.new" --write-recovery-conf --slot=standby --wal-method=stream --checkpoint=fast \
    --dbname="host=$PRIMARY_HOST user=replication application_name=standby" || { rm -rf "$PGDATA.new"; exit 1; }
  mv "$PGDATA.new" "$PGDATA"
fi
exec "$@"
