#!/usr/bin/env bash
# Runs once, when the primary of docker-compose.yml is made: a role for its standby, and the right to connect as it.
set -euo pipefail
psql --username "$POSTGRES_USER" --set ON_ERROR_STOP=1 --set password="$REPLICATION_PASSWORD" <<'SQL'
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'password';
SELECT pg_create_physical_replication_slot('standby');
SQL
# The image lets everybody with a password in, but not for replication; base backups need that too.
echo 'host replication all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
