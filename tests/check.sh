#!/bin/sh
# The one gate, the same on a laptop and in CI: format, lint, types, every test with branch coverage.
# Arguments go to pytest. Reads the environment it is started in; needs no git.
set -eu
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

# Run tests also where others failed. pytest ends with 5 if nothing it was asked for is of this kind.
verdict=5
tests() {
    code=0
    step python -m pytest "$@" || code=$?
    case "$code $verdict" in
    "5 "*) ;;
    *" 5" | *" 0") verdict=$code ;;
    esac
}

step ruff format --check proxy tests
step ruff check proxy tests
step mypy
# A file's tests stay together: they share processes. What measures time has the machine to itself.
tests -n 2 --dist loadfile -m "not timed" --durations 20 --cov --cov-report=term-missing:skip-covered "$@"
tests -m timed --durations 20 --no-cov "$@"
exit "$verdict"
