#!/usr/bin/env bash
# Says in one line each what is missing, and how to get it.
missing=0
say() { echo "missing: $1" >&2; missing=1; }
python="${PYTHON:-python3}"
"$python" -c 'import sys, venv, ensurepip; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null ||
    say "Python 3.11 or newer with venv (Debian: apt install python3 python3-venv; or set PYTHON=/path/to/python3.11)"
java=$("${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p')
[ "${java:-0}" -ge 17 ] || say "Java 17 or newer (Debian: apt install openjdk-17-jre-headless; macOS: brew install openjdk@17)"
command -v mvn >/dev/null || say "Maven (Debian: apt install maven; macOS: brew install maven)"
exit $missing
