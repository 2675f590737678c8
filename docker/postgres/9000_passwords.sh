#!/bin/sh
# Runs once, after connectors/source/*.sql: gives the roles their passwords. psql quotes them.
set -eu
psql -v ON_ERROR_STOP=1 -v cdc="$CDC_PASSWORD" -v reader="$READER_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
ALTER ROLE scorestream_cdc PASSWORD :'cdc';
ALTER ROLE scorestream_reader PASSWORD :'reader';
SQL
