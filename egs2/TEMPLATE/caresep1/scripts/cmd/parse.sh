# Common to the job commands of this directory: their options.
#
#   CMD [--mem 4G] [--gpu N] [--num_threads N] [--num_nodes N] [--time HH:MM:SS]
#       [--max_jobs_run N] [--config FILE] [JOB=1:N] LOG COMMAND...
#
# runs COMMAND with its output in LOG; with JOB=1:N as N jobs, the word JOB replaced by
# the number of the job in COMMAND and LOG. It returns when all jobs have ended, with
# status 0 if all of them succeeded. The interface is that of Kaldi's and ESPnet's
# commands, and so are the names: espnet2.bin.launch goes by them.
# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables are for the commands

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/../failure.sh"

parse_job_command() {
    mem='' gpu=0 num_threads=1 num_nodes=1 time='' max_jobs_run=0 config=''
    job='' first=1 last=1
    local name
    while [ $# -gt 0 ]; do
        case $1 in
            --*)
                name=${1#--}
                name=${name//-/_}
                case ${name} in
                    mem | gpu | num_threads | num_nodes | time | max_jobs_run | config) ;;
                    *) job_fail "unknown option $1" ;;
                esac
                [ $# -ge 2 ] || job_fail "$1 needs a value"
                printf -v "${name}" '%s' "$2"
                shift 2
                ;;
            [A-Za-z]*=*:*)
                [[ $1 =~ ^([A-Za-z_]+)=([1-9][0-9]*):([1-9][0-9]*)$ ]] \
                    || job_fail "needs a range such as JOB=1:4, got $1"
                job=${BASH_REMATCH[1]} first=${BASH_REMATCH[2]} last=${BASH_REMATCH[3]}
                [ "${first}" -le "${last}" ] || job_fail "empty range $1"
                shift
                ;;
            *) break ;;
        esac
    done
    [ $# -ge 2 ] || job_fail "needs a log file and a command"
    log=$1
    shift
    command=("$@")
}

# No job shall outlive the recipe that started it, also where that was killed the hard
# way: CARESEP_OWNER holds its process id.
owner_lives() {
    [ -z "${CARESEP_OWNER:-}" ] || kill -0 "${CARESEP_OWNER}" 2>/dev/null
}

job_fail() {
    echo "${0##*/}: error: $*" >&2
    exit 2
}

# set_job N: log_n and command_n are those of job N
set_job() {
    log_n=${log}
    command_n=("${command[@]}")
    if [ -n "${job}" ]; then
        log_n=${log//${job}/$1}
        command_n=("${command[@]//${job}/$1}")
    fi
    mkdir -p "$(dirname "${log_n}")"
}

report_failures() { # report_failures N...: says which jobs failed, and why the first
    [ $# -eq 0 ] && return 0
    [ "${last}" -eq "${first}" ] \
        || echo "${0##*/}: $# of $((last - first + 1)) jobs failed; the first one:" >&2
    set_job "$1"
    explain_failure "${log_n}"
}
