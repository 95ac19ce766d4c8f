#!/usr/bin/env bash
# Sets up the environment if need be and runs the tests: tests/run.sh [pytest argument]...
# Tests are shared out over the cores; -n 0 runs them one after the other.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup=${root}/egs2/TEMPLATE/caresep1/setup_env.sh
"${setup}"
python=$("${setup}" --print)

# All tests, unless some were named
paths=(tests)
cd "${root}"
for argument in "$@"; do
    if [ -n "${argument}" ] && [ -e "${argument%%::*}" ]; then paths=(); fi
done
# One thread each: on small tensors several are slower
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MKL_NUM_THREADS=${MKL_NUM_THREADS:-1}
exec "${python}" -m pytest -n auto --maxprocesses 8 --dist worksteal "$@" "${paths[@]}"
