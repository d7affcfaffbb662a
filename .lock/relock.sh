#!/bin/sh
# Resolves again: exact versions and hashes, no download addresses. Needs `uv`.
set -eu
cd "$(dirname "$0")/.."
lock() { uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-annotate --no-header --quiet "$@"; }
lock --extra train --group dev --output-file .lock/dev.txt
lock --group build --constraint .lock/dev.txt --output-file .lock/run.txt
# VOLTTRON has an environment of its own: it pins what GEEMS needs newer. Its modular platform has
# had release candidates only.
printf '%s\n' 'pysunspec2>=1.3,<2' 'volttron-lib-base-driver>=2.0.0rc7' |
  uv pip compile - --universal --python-version 3.11 --prerelease allow --generate-hashes \
    --no-emit-index-url --no-annotate --no-header --quiet --output-file .lock/volttron.txt
! grep -nE '(https?|file)://' .lock/dev.txt .lock/run.txt .lock/volttron.txt
