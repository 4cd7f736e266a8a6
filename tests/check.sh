#!/bin/sh
# The one gate, the same on a laptop and in CI: format, lint, types, every test with branch coverage.
# Arguments go to pytest. Reads the environment it is started in; needs no git.
set -eu
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

step ruff format --check proxy tests
step ruff check proxy tests
step mypy
step python -m pytest --cov --cov-report=term-missing:skip-covered "$@"
