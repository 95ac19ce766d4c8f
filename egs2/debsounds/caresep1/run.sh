#!/usr/bin/env bash
# debsounds: trains, tests and packs a small model on real sounds of Debian packages.
# Without arguments everything runs on the CPU; all options of caresep.sh may follow.
#   --mini true    a quick pass through all stages on some clips of two small packages;
#                  it shows that everything works, not what a model can do

set -euo pipefail

invocation="./run.sh $*"
cd "$(dirname "${BASH_SOURCE[0]}")"

mini=false
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --mini)
            mini=${2:-}
            [[ ${mini} == true || ${mini} == false ]] \
                || { echo "run.sh: error: --mini must be true or false" >&2; exit 2; }
            shift 2
            ;;
        --help | -h)
            sed -n 's/^#   \(--mini\)/  \1/p; s/^#        *\(it shows\)/                 \1/p' \
                "${BASH_SOURCE[0]}"
            exec ./caresep.sh --help
            ;;
        *)
            arguments+=("$1")
            shift
            ;;
    esac
done

# Weights that do best where the query is another clip of the class, what users have
options=(--ngpu 0 --fs 32k --corpus debsounds
         --inference_model valid.mixture_sdr_other.best.pth
         --license_note "The sounds that it was trained on have licences of their own
(CC0, CC-BY-SA, GPL-2, public domain); none of them is contained in it.")
if ${mini}; then
    options+=(
        --datadir mini/data --dumpdir mini/dump --expdir mini/exp
        --list_dir local/mini
        --local_data_opts "--packages sonic-pi-samples,bucklespring-data
                           --labels cymbal_bell,drum,plucked,synth_fx,typing"
        --corpus "debsounds, two packages"
        --caresep_config conf/mini.yaml
        --gallery_items 2
    )
else
    options+=(--caresep_config conf/train.yaml)
fi

CARESEP_INVOCATION=${invocation% } exec ./caresep.sh "${options[@]}" "${arguments[@]}"
