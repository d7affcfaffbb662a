#!/bin/sh
# Resolves again: exact versions and hashes, no download addresses. Needs `uv`.
set -eu
cd "$(dirname "$0")/.."
lock() { uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-annotate --no-header --quiet "$@"; }
lock --extra train --group dev --output-file .lock/dev.txt
lock --group build --constraint .lock/dev.txt --output-file .lock/run.txt
! grep -nE '(https?|file)://' .lock/dev.txt .lock/run.txt
