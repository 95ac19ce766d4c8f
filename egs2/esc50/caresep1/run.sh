#!/usr/bin/env bash
# esc50: zero-shot evaluation of a trained model on mixtures of ESC-50. Nothing is trained.
# Needs ESC-50 (ESC50=FOLDER). All options of caresep.sh may follow.
#   --caresep_exp MODEL      the model: an experiment folder or a zip of the model zoo;
#                            without it the data are prepared and nothing else is done
#   --caresep_tag NAME       results go to exp/caresep_NAME (default: the model's name)
#   --inference_model FILE   which weights of a folder (valid.mixture_sdr.best.pth)

set -euo pipefail

invocation="./run.sh $*"
here=${PWD}
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    echo "run.sh: error: $*" >&2
    exit 2
}

caresep_exp=''
caresep_tag=''
inference_model=''
stop_stage=13
arguments=()
while [ $# -gt 0 ]; do
    name=${1%%=*}
    name=${name//-/_}
    case ${name} in
        __caresep_exp | __caresep_tag | __inference_model | __stop_stage)
            if [[ $1 != *=* ]]; then
                [ $# -ge 2 ] || fail "$1 needs a value"
                printf -v "${name#__}" '%s' "$2"
                shift 2
            else
                printf -v "${name#__}" '%s' "${1#*=}"
                shift
            fi
            ;;
        __help | _h)
            sed -n '/^#   /s/^# //p' "${BASH_SOURCE[0]}"
            exec ./caresep.sh --help
            ;;
        *)
            arguments+=("$1")
            shift
            ;;
    esac
done

options=(
    --fs 32k --corpus ESC-50 --train_set '' --valid_set '' --test_sets test
    --datadir data --list_dir data # stage 1 draws the pairs
    --skip_packing true --stop_stage "${stop_stage}"
)
export CARESEP_INVOCATION=${invocation% }
if [ -z "${caresep_exp}" ]; then
    [[ ${stop_stage} == [0-6] ]] && exec ./caresep.sh "${options[@]}" "${arguments[@]}"
    ./caresep.sh "${options[@]}" --stop_stage 3 "${arguments[@]}"
    fail "the mixtures are ready; --caresep_exp MODEL says which model to evaluate on them"
fi

case ${caresep_exp} in
    /*) ;;
    *) caresep_exp=${here}/${caresep_exp} ;;
esac
name=$(basename "${caresep_exp%/}" .zip)
exp=exp/caresep_${caresep_tag:-${name#caresep_}}
# shellcheck source=/dev/null
. ./path.sh
inference_model=$(python3 local/import_model.py --model "${caresep_exp%/}" \
    --output_dir "${exp}" --weights "${inference_model}")
exec ./caresep.sh "${options[@]}" --caresep_exp "${exp}" \
    --inference_model "${inference_model}" "${arguments[@]}"
