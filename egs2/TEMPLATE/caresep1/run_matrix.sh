#!/usr/bin/env bash
# Trains and scores the rows of the paper's Tables 1 and 2 and writes one table of them.
# A row that is finished is not done again. Whatever it does not know goes to run.sh.
#   --scale NAME         debsounds_cpu: small networks, minutes each on one CPU core
#                        debsounds_gpu: the paper's sizes on debsounds, for a GPU
#                        audioset: the paper's sizes and epochs, for many GPUs
#   --rows "NAME..."     rows to run (default: all that the scale has)
#   --seeds "N..."       seeds of the rows a c d e f g; others take the first
#                        (default: "0 1 2"; audioset "0")
#   --jobs N             rows that run at a time (default: 1)

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() { echo "run_matrix.sh: error: $*" >&2; exit 2; }

scale='' rows='' seeds='' jobs=1 arguments=()
invocation="./run_matrix.sh $*"
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        --scale | --rows | --seeds | --jobs)
            [ $# -ge 2 ] || fail "$1 needs a value"
            printf -v "${1#--}" '%s' "$2"
            ;;
        --*)
            [ $# -ge 2 ] || fail "$1 needs a value"
            arguments+=("$1" "$2")
            ;;
        *) fail "unexpected argument $1 (options are --name value)" ;;
    esac
    shift 2
done
[[ ${jobs} =~ ^[1-9][0-9]*$ ]] || fail "--jobs must be 1 or more, got ${jobs}"

# What a scale is: its recipe, its rows in the order of the tables, the configuration
# of each, and what all of them share.
tuning=../../../conf/tuning
shared=()
case ${scale} in
    debsounds_cpu)
        recipe=debsounds
        known='cls pann_sep_probabilities pann_sep_embedding c c_plain a_plain cls_sep a b d e f g'
        config_of() { echo "${tuning}/debsounds_cpu/$1.yaml"; }
        options=(--ngpu 0 --train_threads 1 --nj 1)
        ;;
    debsounds_gpu)
        recipe=debsounds
        config_of() { full_config_of "$1"; }
        shared=(--max_epoch 30 --num_iters_per_epoch 100 --batch_size 24
                --keep_nbest_models 1 --scheduler warmup_cosine)
        options=(--ngpu 1 --gpu_inference true --nj 1)
        ;;
    audioset)
        recipe=audioset
        config_of() { full_config_of "$1"; }
        options=()
        ;;
    *) fail "--scale must be debsounds_cpu, debsounds_gpu or audioset, got '${scale}'" ;;
esac
full_config_of() {
    case $1 in
        c) echo "${tuning}/train_caresep_768.yaml" ;;
        [a-g]) echo "${tuning}/train_ablation_$1.yaml" ;;
        *) echo "${tuning}/train_$1.yaml" ;;
    esac
}
known=${known:-'care_cls_768 care_cls_2048 pann_sep_527 pann_sep_2048 c caresep_2048
                care_cls_sep_768 a b d e f g'}
[ "$(basename "$(dirname "${PWD}")")" = "${recipe}" ] \
    || fail "--scale ${scale} is run in egs2/${recipe}/caresep1"
if [ -z "${seeds}" ]; then
    seeds='0 1 2'
    [ "${scale}" != audioset ] || seeds=0
fi
for seed in ${seeds}; do
    [[ ${seed} =~ ^[0-9]+$ ]] || fail "--seeds must be whole numbers, got ${seed}"
done
rows=${rows:-${known}}
for row in ${rows}; do
    [[ " ${known//$'\n'/ } " == *" ${row} "* ]] \
        || fail "--rows: ${row} is not one of" ${known}
done

expdir=exp/matrix_${scale}
options+=(--expdir "${expdir}" "${arguments[@]}")
mkdir -p "${expdir}"

# The data and the shapes of the batches are the same for all
./run.sh --stage 1 --stop_stage 5 --caresep_config "$(config_of c)" "${options[@]}"

arguments_of() { echo "${shared[*]} --seed $1"; } # one row's, with its seed

tagging() { grep -q '^mode: cls$' "$(config_of "$1")"; }

seeds_of() {
    case $1 in
        [acdefg]) echo "${seeds}" ;;
        *) echo "${seeds%% *}" ;;
    esac
}

# row SEED NAME RUN-OPTION...: the public command, with its log beside the experiments
row() {
    local seed=$1 name=$2 log=${expdir}/$2_seed$1.log own="${shared[*]} --seed $1"
    shift 2
    echo "$(date '+%Y-%m-%dT%H:%M:%S') ${name}, seed ${seed}: ${log}"
    ./run.sh --caresep_config "$(config_of "${name}")" --caresep_args "${own}" \
        --pretrain_args "${own}" --gallery_items 0 --scoring_args --model_only \
        --eval_sets 'mixture_own mixture_other clean_own silence_own' "$@" \
        "${options[@]}" >>"${log}" 2>&1 &
    local pid=$!
    # In the background, because the shell would heed a signal only after a command in
    # the foreground
    trap 'kill "${pid}" 2>/dev/null; wait "${pid}"; exit 143' TERM
    wait "${pid}" || {
        echo "run_matrix.sh: error: ${name}, seed ${seed}: $(tail -n 1 "${log}") (${log})" >&2
        return 1
    }
}

train_and_score() { # train_and_score SEED NAME
    local model=valid.mixture_sdr.best.pth
    ! tagging "$2" || model=valid.mAP.best.pth
    row "$1" "$2" --stage 6 --stop_stage 8 --inference_model "${model}"
}

# in_parallel COMMAND: reads "SEED NAME" lines and runs COMMAND on each, some at a time
failed=false
in_parallel() {
    local seed name running=0
    while read -r seed name; do
        if [ "${running}" -ge "${jobs}" ]; then
            wait -n || failed=true
            running=$((running - 1))
        fi
        "$1" "${seed}" "${name}" </dev/null &
        running=$((running + 1))
    done
    while [ "${running}" -gt 0 ]; do
        wait -n || failed=true
        running=$((running - 1))
    done
}
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# First what others start from, so that no two rows train the same start
starts() {
    local name seed
    for name in ${rows}; do
        for seed in $(seeds_of "${name}"); do
            sed -n 's|^- exp/caresep_\([^/]*\)/.*|\1|p' "$(config_of "${name}")" \
                | sed -e 's/^train_//' -e "s/^/${seed} /"
        done
    done | sort -u
}
train_start() { row "$1" "$2" --stage 6 --stop_stage 6; }
in_parallel train_start < <(starts)
in_parallel train_and_score < <(
    for name in ${rows}; do
        for seed in $(seeds_of "${name}"); do echo "${seed} ${name}"; done
    done
)

. ./path.sh
python3 -m espnet2_caresep.bin.summarize_matrix --expdir "${expdir}" --scale "${scale}" \
    --command "${invocation% }" --output_dir "${expdir}"
echo "The table: ${expdir}/RESULTS.md"
if ${failed}; then fail "some rows failed; run it again to go on with them"; fi
