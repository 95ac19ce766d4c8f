#!/usr/bin/env bash
# Runs jobs through PBS; see parse.sh for the options and cluster.sh for conf/pbs.conf.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/cluster.sh"

parse_job_command "$@"
write_job_script PBS_ARRAY_INDEX
select="select=${num_nodes}:ncpus=${num_threads}"
[ "${gpu}" -gt 0 ] && select+=":ngpus=${gpu}"
[ -n "${mem}" ] && select+=":mem=${mem,,}b"
options=(-V -W block=true -j oe -o "${job_dir}/" -N "${job_name}" -l "${select}")
if is_array; then
    limit=''
    [ "${max_jobs_run}" -gt 0 ] && limit="%${max_jobs_run}"
    options+=(-J "${first}-${last}${limit}")
fi
[ -n "${time}" ] && options+=(-l "walltime=${time}")
cancel_jobs() { qselect -N "${job_name}" | xargs -r qdel; }
read -r -a site <<<"$(site_options conf/pbs.conf)"
submit qsub "${options[@]}" "${site[@]}"
