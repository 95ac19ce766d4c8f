#!/usr/bin/env bash
# audioset: trains and tests at the paper's scale. Needs AudioSet (AUDIOSET=FOLDER) and
# GPUs. All options of caresep.sh may follow.
#   --subset full|balanced   train on two million clips (default) or on 22,000

set -euo pipefail

invocation="./run.sh $*"
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    echo "run.sh: error: $*" >&2
    exit 2
}

subset=full
data_opts=''
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --subset=* | --local_data_opts=* | --local-data-opts=*)
            set -- "${1%%=*}" "${1#*=}" "${@:2}"
            ;;
        --subset)
            subset=${2:-}
            [[ ${subset} == full || ${subset} == balanced ]] \
                || fail "--subset must be full or balanced"
            shift 2
            ;;
        --local_data_opts | --local-data-opts)
            [ $# -ge 2 ] || fail "$1 needs a value"
            data_opts=$2
            shift 2
            ;;
        --help | -h)
            sed -n 's/^#   \(--subset\)/  \1/p' "${BASH_SOURCE[0]}"
            exec ./caresep.sh --help
            ;;
        *)
            arguments+=("$1")
            shift
            ;;
    esac
done

options=(
    --fs 32k --audio_format flac --corpus "AudioSet, ${subset}"
    --train_set "train_${subset}" --valid_set valid --test_sets eval
    --local_data_opts "--subset ${subset} ${data_opts}"
    --datadir data --list_dir data --labels data/labels.txt # stage 1 writes all of these
    --expdir "exp/${subset}"
    --caresep_config conf/train.yaml
)
CARESEP_INVOCATION=${invocation% } exec ./caresep.sh "${options[@]}" "${arguments[@]}"
