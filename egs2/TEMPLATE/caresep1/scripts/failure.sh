# What is said when a job has failed.
# shellcheck shell=bash

# explain_failure LOG...: shows why the first of these jobs failed. Returns 2 when the
# job itself said what is wrong with its input, in one line, and otherwise 1.
explain_failure() {
    local line
    line=$(grep -hE '^[A-Za-z0-9_.]+: error: ' "$1" 2>/dev/null | tail -n 1)
    if [ -n "${line}" ]; then
        echo "${line}" >&2
        return 2
    fi
    tail -n 8 "$1" >&2 || true
    echo "${0##*/}: the whole log: $1" >&2
    return 1
}
