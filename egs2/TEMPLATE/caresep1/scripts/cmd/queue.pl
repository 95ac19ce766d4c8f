#!/usr/bin/env bash
# Runs jobs through SGE; see parse.sh for the options and cluster.sh for conf/queue.conf.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/cluster.sh"

parse_job_command "$@"
write_job_script SGE_TASK_ID
options=(-sync y -V -cwd -S /bin/bash -j y -o "${job_dir}/" -N "${job_name}")
if is_array; then
    options+=(-t "${first}-${last}")
    [ "${max_jobs_run}" -gt 0 ] && options+=(-tc "${max_jobs_run}")
fi
[ "${num_threads}" -gt 1 ] && options+=(-pe smp "${num_threads}")
[ -n "${mem}" ] && options+=(-l "mem_free=${mem}")
[ -n "${time}" ] && options+=(-l "h_rt=${time}")
[ "${gpu}" -gt 0 ] && options+=(-l "gpu=${gpu}")
cancel_jobs() { qdel "${job_name}"; }
read -r -a site <<<"$(site_options conf/queue.conf)"
submit qsub "${options[@]}" "${site[@]}"
