# Common to slurm.pl, pbs.pl and queue.pl: the job script and its outcome.
#
# A site's own options stand in conf/NAME.conf (or --config FILE): a line `all OPTIONS`
# for jobs without GPUs and a line `gpu OPTIONS` for those with; GPU in it becomes the
# number of GPUs.
# shellcheck shell=bash

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/parse.sh"

# write_job_script VARIABLE: VARIABLE is where the scheduler puts the number of a job
write_job_script() {
    set_job "${first}"
    # The jobs are cancelled by their name, so it must be theirs alone. PBS takes 15
    # characters, SGE no digit at the begin.
    job_name=$(basename "${log//${job:-JOB}/_}" .log)
    job_name=j_${job_name:0:5}.$$
    job_dir=$(cd "$(dirname "${log_n}")" && pwd)/.jobs/${job_name}
    mkdir -p "${job_dir}"
    script=${job_dir}/job.sh
    {
        echo '#!/usr/bin/env bash'
        printf 'cd %q || exit 1\n' "${PWD}"
        # A range of one job is submitted as a plain job, which has no number
        if is_array; then echo "number=\$$1"; else echo "number=${first}"; fi
        # The word JOB stays outside of quotes, so that it becomes the number
        printf 'log=%s\n' "$(quoted "${log}")"
        # shellcheck disable=SC2016
        echo '{ echo "# Started at $(date) on $(hostname)"'
        printf '%s ' "$(quoted "${command[0]}")"
        local word
        for word in "${command[@]:1}"; do printf '%s ' "$(quoted "${word}")"; done
        # shellcheck disable=SC2016
        printf '\nstatus=$?\necho "# Ended (status ${status}) at $(date)"\n'
        # shellcheck disable=SC2016
        printf '} >"${log}" 2>&1 </dev/null\n'
        # shellcheck disable=SC2016
        printf 'echo "${status}" >%q/status."${number}"\n' "${job_dir}"
        # shellcheck disable=SC2016
        printf 'exit "${status}"\n'
    } >"${script}"
    chmod +x "${script}"
}

quoted() { # the word for a shell, JOB replaced by ${number}
    local parts=$1 out=''
    if [ -z "${job}" ]; then
        printf '%q' "$1"
        return
    fi
    while [[ ${parts} == *"${job}"* ]]; do
        [ -z "${parts%%"${job}"*}" ] || out+=$(printf '%q' "${parts%%"${job}"*}")
        # shellcheck disable=SC2016
        out+='"${number}"'
        parts=${parts#*"${job}"}
    done
    if [ -n "${parts}" ] || [ -z "${out}" ]; then out+=$(printf '%q' "${parts}"); fi
    printf '%s' "${out}"
}

is_array() { [ "${last}" -gt "${first}" ]; }

site_options() { # site_options DEFAULT_CONFIG: prints the words of the right line
    local file=${config:-$1} kind=all
    [ "${gpu}" -gt 0 ] && kind=gpu
    if [ ! -e "${file}" ]; then
        [ -z "${config}" ] || job_fail "${file} is not there"
        return
    fi
    sed -n "s/^${kind}[[:space:]][[:space:]]*//p" "${file}" | sed "s/GPU/${gpu}/g"
}

# submit COMMAND...: the scheduler's command, which waits for the jobs. They are cancelled
# (cancel_jobs of the scheduler) when this command is told to end or its recipe is gone.
submit() {
    command -v "$1" >/dev/null || job_fail "$1 is not here; choose another cmd_backend"
    echo "${0##*/}: $* ${script}" >"${job_dir}/submitted"
    "$@" "${script}" >>"${job_dir}/submitted" 2>&1 &
    local scheduler=$! status number failed=()
    trap 'cancel_and_exit "${scheduler}"' INT TERM HUP
    while kill -0 "${scheduler}" 2>/dev/null; do
        sleep 0.2
        owner_lives || cancel_and_exit "${scheduler}"
    done
    wait "${scheduler}"
    status=$?
    # When no job has run, the fault lies with the submission
    compgen -G "${job_dir}/status.*" >/dev/null || [ ${status} -eq 0 ] \
        || job_fail "$1 took no job: $(tail -n 1 "${job_dir}/submitted") (all it says:" \
                    "${job_dir}/submitted)"
    for ((number = first; number <= last; number++)); do
        # A shared file system may show the file of the last job late
        local tries=10
        while [ ! -s "${job_dir}/status.${number}" ] && [ ${tries} -gt 0 ] \
              && [ ${status} -eq 0 ]; do
            sleep 1
            tries=$((tries - 1))
        done
        [ "$(cat "${job_dir}/status.${number}" 2>/dev/null)" = 0 ] || failed+=("${number}")
    done
    report_failures "${failed[@]}"
}

cancel_and_exit() { # cancel_and_exit PID
    cancel_jobs >>"${job_dir}/submitted" 2>&1
    kill "$1" 2>/dev/null
    exit 143
}
