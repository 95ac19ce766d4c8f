# Common to the stages: messages, options, what a stage needs, what is done already.
# shellcheck shell=bash disable=SC2034 # others read what is set here

# shellcheck source-path=SCRIPTDIR
. "${scripts:?}/failure.sh"

log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') (${0##*/}) $*"; }

fail() { # one line on stderr, status 2: the input is at fault
    echo "${0##*/}: error: $*" >&2
    exit 2
}

# need FILE STAGE: stops when FILE, which STAGE makes, is not there
need() {
    [ -e "$1" ] || fail "$1 is missing; stage $2 makes it (--stage $2 --stop_stage $2)"
}

# ---- options: the block between two marks in the driver is their one source ----

options_block() { # the lines of the block in FILE
    sed -n '/^# === options/,/^# === end of options/p' "$1" | grep -v '^# ==='
}

show_options() { # "name=default  # help" as help text, titles kept
    options_block "$1" | sed -E \
        -e 's/^# (.*)$/\n\1:/' \
        -e 's/^([a-z_]+)=("([^"]*)"|([^ ]*)) +# (.*)$/  --\1 [\3\4]\n        \5/' \
        -e 's/^ +# (.*)$/        \1/' \
        -e 's/ \[\]$//'
}

is_option() { options_block "$1" | grep -q "^$2="; }

# parse_options DRIVER ARGUMENT...: --name value or --name=value for each option of the
# block. A value must look like the default: true or false, or a whole number.
parse_options() {
    local driver=$1 name value default
    shift
    while [ $# -gt 0 ]; do
        [[ $1 == --* ]] || fail "unexpected argument $1 (options are --name value)"
        name=${1#--}
        if [[ ${name} == *=* ]]; then
            value=${name#*=}
            name=${name%%=*}
            shift
        else
            [ $# -ge 2 ] || fail "$1 needs a value"
            value=$2
            shift 2
        fi
        name=${name//-/_}
        is_option "${driver}" "${name}" || fail "unknown option --${name}; see --help"
        default=${!name}
        case ${default} in
            true | false)
                [[ ${value} == true || ${value} == false ]] \
                    || fail "--${name} must be true or false, got ${value}"
                ;;
            *[!0-9]* | '') ;;
            *)
                [[ ${value} =~ ^[0-9]+$ ]] \
                    || fail "--${name} must be a whole number, got ${value}"
                ;;
        esac
        printf -v "${name}" '%s' "${value}"
    done
}

# ---- what is done already ----
#
# A finished piece of work leaves a mark with a key: a hash of its options and of the
# files that it reads. It is done again when the key has changed.

# key_of TEXT FILE...: lists count by content, audio and models by size and time
key_of() {
    local text=$1 file
    shift
    {
        echo "${text}"
        for file in "$@"; do
            case ${file} in
                *.pth | *.zip) stat -L -c '%n %s %Y' "${file}" ;;
                *) if [ -e "${file}" ]; then cat "${file}"; else echo "no ${file}"; fi ;;
            esac
        done
    } | sha256sum | cut -d' ' -f1
}

is_done() { # is_done MARK KEY
    # shellcheck disable=SC2154 # an option of the driver
    [ "${force}" = false ] && [ -e "$1" ] && [ "$(cat "$1")" = "$2" ]
}

mark_done() { # mark_done MARK KEY
    mkdir -p "$(dirname "$1")"
    echo "$2" >"$1.part"
    mv "$1.part" "$1"
}

# ---- running ----

# run COMMAND...: a failure ends the recipe with its status. In the background, because
# the shell would heed a signal only after a command in the foreground.
run() {
    worked=true
    "$@" &
    wait $! || exit $?
}

# split_keys FILE N DIR: DIR/keys.1 ... DIR/keys.N
split_keys() {
    rm -rf "$3"
    mkdir -p "$3"
    awk -v n="$2" -v dir="$3" '{ print $1 > (dir "/keys." (NR - 1) % n + 1) }' "$1"
}

num_jobs() { # num_jobs WANTED FILE: never more jobs than lines
    local lines
    lines=$(wc -l <"$2")
    echo $(($1 < lines ? $1 : lines))
}

# watch_count LABEL TOTAL PID COUNT...: shows what COUNT counts while PID lives
watch_count() {
    local label=$1 total=$2 pid=$3 seen='' now tick=0
    shift 3
    while kill -0 "${pid}" 2>/dev/null; do
        sleep 0.5
        tick=$((tick + 1))
        [ $((tick % 20)) -eq 0 ] || continue
        now=$("$@")
        [ "${now}" = "${seen}" ] || log "${label}: ${now} of ${total}"
        seen=${now}
    done
}
