# How long the stages took, for the record in RESULTS.md.
#
# A stage that had work to do leaves its seconds; what it spent before it was
# interrupted counts too. A stage that was done already leaves nothing new.
# shellcheck shell=bash

# The data belong to every training in the directory, the rest to one
times_dir() {
    if [ "$1" -le 4 ]; then
        echo "${dumpdir:?}/.times"
    else
        echo "${caresep_exp:?}/.times"
    fi
}

current_stage=''
worked=false

begin_stage() {
    current_stage=$1
    stage_began=${SECONDS}
    worked=false
}

seconds_in() { cat "$1" 2>/dev/null || echo 0; }

spent() {
    local before
    before=$(seconds_in "$(times_dir "${current_stage}")/${current_stage}.cut")
    echo $((SECONDS - stage_began + before))
}

end_stage() {
    if ${worked}; then
        note_seconds "" "$(spent)"
        rm -f "$(times_dir "${current_stage}")/${current_stage}.cut"
    fi
    current_stage=''
}

cut_stage() { # the recipe ends in the middle of a stage
    if [ -n "${current_stage}" ] && ${worked}; then note_seconds .cut "$(spent)"; fi
}

note_seconds() { # note_seconds SUFFIX SECONDS
    local dir
    dir=$(times_dir "${current_stage}")
    mkdir -p "${dir}"
    echo "$2" >"${dir}/${current_stage}$1"
}

total_seconds() { # of all stages that led here, and of the one at work
    local total file
    total=$(spent)
    for file in "$(times_dir 0)"/* "$(times_dir 5)"/*; do
        case ${file} in
            *.cut | */"${current_stage}") ;;
            *) total=$((total + $(seconds_in "${file}"))) ;;
        esac
    done
    echo "${total}"
}
