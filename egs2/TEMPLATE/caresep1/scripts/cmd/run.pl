#!/usr/bin/env bash
# Runs jobs on this machine; see parse.sh for the options.
#
# The jobs end when this command is told to end, and also when its recipe is gone.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/parse.sh"

parse_job_command "$@"
[ "${num_nodes}" -le 1 ] || job_fail "one machine has one node, not ${num_nodes}"
[ "${max_jobs_run}" -gt 0 ] || max_jobs_run=$((last - first + 1))

declare -A running=() # process id -> number of the job
failed=()

start_job() {
    set_job "$1"
    {
        printf '# %q' "${command_n[0]}"
        printf ' %q' "${command_n[@]:1}"
        printf '\n# Started at %s\n' "$(date)"
    } >"${log_n}"
    # A session of its own, so that whatever the job starts can be ended with it
    setsid "${command_n[@]}" >>"${log_n}" 2>&1 </dev/null &
    running[$!]=$1
}

end_jobs() {
    local pid
    for pid in "${!running[@]}"; do kill -TERM -- "-${pid}" 2>/dev/null; done
    sleep 1
    for pid in "${!running[@]}"; do kill -KILL -- "-${pid}" 2>/dev/null; done
    exit 143
}
trap end_jobs INT TERM HUP

collect_ended() {
    local pid status
    for pid in "${!running[@]}"; do
        kill -0 "${pid}" 2>/dev/null && continue
        wait "${pid}"
        status=$?
        set_job "${running[${pid}]}"
        echo "# Ended (status ${status}) at $(date)" >>"${log_n}"
        [ ${status} -eq 0 ] || failed+=("${running[${pid}]}")
        unset "running[${pid}]"
    done
}

next=${first}
while [ "${next}" -le "${last}" ] || [ ${#running[@]} -gt 0 ]; do
    while [ "${next}" -le "${last}" ] && [ ${#running[@]} -lt "${max_jobs_run}" ]; do
        start_job "${next}"
        next=$((next + 1))
    done
    sleep 0.2
    owner_lives || end_jobs
    collect_ended
done
report_failures "${failed[@]}"
