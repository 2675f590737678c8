#!/bin/bash
# Runs once, after connectors/clickhouse/grants.sql: gives the users their passwords and lets them in.
set -eu
for password in "$OWNER_PASSWORD" "$WRITER_PASSWORD" "$OPERATOR_PASSWORD" "$READER_PASSWORD"; do
    case "$password" in
        *[\'\\]*) echo "a ClickHouse password in .env has a quote or a backslash in it" >&2; exit 1 ;;
    esac
done
# Over stdin: arguments are visible to every process.
clickhouse client --user "$CLICKHOUSE_USER" --password "$CLICKHOUSE_PASSWORD" --multiquery <<SQL
ALTER USER scorestream_owner IDENTIFIED WITH sha256_password BY '$OWNER_PASSWORD' HOST ANY;
ALTER USER scorestream_writer IDENTIFIED WITH sha256_password BY '$WRITER_PASSWORD' HOST ANY;
ALTER USER scorestream_operator IDENTIFIED WITH sha256_password BY '$OPERATOR_PASSWORD' HOST ANY;
ALTER USER scorestream_reader IDENTIFIED WITH sha256_password BY '$READER_PASSWORD' HOST ANY;
SQL
