#!/usr/bin/env bash
# Runs jobs through Slurm; see parse.sh for the options and cluster.sh for conf/slurm.conf.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/cluster.sh"

parse_job_command "$@"
write_job_script SLURM_ARRAY_TASK_ID
options=(--wait --job-name "${job_name}" --output "${job_dir}/slurm-%j.out"
         --cpus-per-task "${num_threads}")
if is_array; then
    limit=''
    [ "${max_jobs_run}" -gt 0 ] && limit="%${max_jobs_run}"
    options+=(--array "${first}-${last}${limit}")
fi
[ "${num_nodes}" -gt 1 ] && options+=(--nodes "${num_nodes}" --ntasks-per-node 1)
[ -n "${mem}" ] && options+=(--mem "${mem}")
[ -n "${time}" ] && options+=(--time "${time}")
[ "${gpu}" -gt 0 ] && options+=(--gres "gpu:${gpu}")
cancel_jobs() { scancel --name "${job_name}"; }
read -r -a site <<<"$(site_options conf/slurm.conf)"
submit sbatch "${options[@]}" "${site[@]}"
