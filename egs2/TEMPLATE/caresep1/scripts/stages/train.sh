# Stages 5 and 6: statistics and training.
# shellcheck shell=bash disable=SC2034,SC2154 # the options are the driver's

# Which file holds what: the clips themselves to mix from, and fixed mixtures with two
# kinds of query to validate on.
set_data_options() {
    local train=${data_feats}/${train_set} valid=${data_feats}/${valid_set}_mix n
    need "${train}/wav.scp" 4
    need "${valid}/wav.scp" 3
    train_data=(--preprocessor_conf "source_dir=${train}"
                --train_data_path_and_name_and_type "${train}/wav.scp,speech_ref1,text")
    valid_data=(--valid_data_path_and_name_and_type "${valid}/wav.scp,speech_mix,sound")
    for n in 1 2; do
        valid_data+=(
            --valid_data_path_and_name_and_type "${valid}/spk${n}.scp,speech_ref${n},sound"
            --valid_data_path_and_name_and_type "${valid}/enroll_spk${n}.scp,enroll_ref${n},sound"
            --valid_data_path_and_name_and_type "${valid}/other_spk${n}.scp,other_ref${n},sound"
            --valid_data_path_and_name_and_type "${valid}/label_spk${n},label${n},text")
    done
    # What a training depends on
    data_files=("${train}"/{wav.scp,labels,utt2num_samples} "${train}/.done/filter"
                "${valid}"/{wav.scp,label_spk1,label_spk2} "${valid}/data/.made_with")
    if [ -n "${labels}" ]; then
        need "${labels}" 1
        train_data+=(--labels "${labels}")
        data_files+=("${labels}")
    fi
}

stage_5() {
    log "Stage 5: shapes of the training and validation data: ${stats_dir}"
    set_data_options
    [ -e "${caresep_config}" ] || fail "--caresep_config ${caresep_config} is not there"
    local key mark=${stats_dir}/.done
    key=$(key_of "${fs_hz}" "${caresep_config}" "${data_files[@]}")
    if is_done "${mark}" "${key}"; then
        log "Stage 5 is done already"
        return
    fi
    local train=${data_feats}/${train_set} valid=${data_feats}/${valid_set}_mix
    local logs=${stats_dir}/logs jobs
    jobs=$(num_jobs "${nj}" "${valid}/wav.scp")
    jobs=$(num_jobs "${jobs}" "${train}/wav.scp")
    split_keys "${train}/wav.scp" "${jobs}" "${logs}/train"
    split_keys "${valid}/wav.scp" "${jobs}" "${logs}/valid"
    # shellcheck disable=SC2086 # several words are meant
    run ${train_cmd} JOB="1:${jobs}" "${logs}/stats.JOB.log" \
        python3 -m espnet2_caresep.bin.train --collect_stats true \
        --config "${caresep_config}" "${train_data[@]}" "${valid_data[@]}" \
        --train_shape_file "${logs}/train/keys.JOB" \
        --valid_shape_file "${logs}/valid/keys.JOB" \
        --init_param --ngpu 0 --output_dir "${logs}/stats.JOB" # no weights are needed
    local dirs=() n
    for ((n = 1; n <= jobs; n++)); do dirs+=(--input_dir "${logs}/stats.${n}"); done
    run python3 -m espnet2.bin.aggregate_stats_dirs --skip_sum_stats \
        "${dirs[@]}" --output_dir "${stats_dir}" >"${logs}/aggregate.log" 2>&1
    mark_done "${mark}" "${key}"
}

stage_6() {
    log "Stage 6: training"
    set_data_options
    need "${stats_dir}/.done" 5
    [ -e "${caresep_config}" ] || fail "--caresep_config ${caresep_config} is not there"
    # shellcheck disable=SC2086 # several words are meant
    train_from_start "${caresep_config}" "${caresep_exp}" "${caresep_args}" ${init_param}
}

# train_from_start CONFIG EXP ARGUMENTS [INIT_PARAM ...]: first the trainings that this one
# starts from, and that they start from. Without INIT_PARAM the configuration names them.
train_from_start() {
    local config=$1 exp=$2 arguments=$3 item start
    local start_config start_exp items=() init=()
    shift 3
    items=("$@")
    [ $# -gt 0 ] || mapfile -t items < <(init_param_of "${config}")
    for item in "${items[@]}"; do
        start=${item%%:*}
        start_config=$(config_of_start "${start}" "${config}")
        if [ -n "${start_config}" ]; then
            start_exp=${expdir}/caresep_$(tag_of "${start_config}" "${pretrain_args}")
            train_from_start "${start_config}" "${start_exp}" "${pretrain_args}"
            start=${start_exp}/${start##*/}
        fi
        need "${start}" 6
        init+=("${start}:${item#*:}")
    done
    # All in one option: a second one would replace the first
    [ ${#init[@]} -eq 0 ] || init=(--init_param "${init[@]}")
    train_one "${config}" "${exp}" "${arguments}" "${init[@]}"
}

init_param_of() { # init_param_of CONFIG: the weights that a configuration starts from
    python3 -c 'import sys, yaml
with open(sys.argv[1], encoding="utf-8") as file:
    print(*(yaml.safe_load(file) or {}).get("init_param") or [], sep="\n")' "$1" | sed '/^$/d'
}

# config_of_start FILE CONFIG: the weights exp/caresep_NAME/... of a configuration NAME.yaml
# beside the one that starts from them are trained first; other files must be there
config_of_start() {
    [[ $1 =~ ^exp/caresep_([^/]+)/[^/]+$ ]] || return 0
    local config
    config=$(dirname "$(readlink -f "$2")")/${BASH_REMATCH[1]}.yaml
    [ ! -e "${config}" ] || echo "${config}"
}

train_one() { # train_one CONFIG EXP ARGUMENTS [--init_param ...]
    local config=$1 exp=$2 arguments=$3 key mark=$2/.done/train
    shift 3
    [ -e "${config}" ] || fail "the training configuration ${config} is not there"
    local files=("${config}" "${data_files[@]}") word
    for word in "$@"; do
        [ -e "${word%%:*}" ] && files+=("${word%%:*}")
    done
    key=$(key_of "${arguments} $*" "${files[@]}")
    if is_done "${mark}" "${key}"; then
        log "Stage 6 is done already: ${exp}"
        return
    fi
    keep_to_clips "${exp}"
    if [ -e "${exp}/checkpoint.pth" ]; then
        log "Going on with ${exp} after its last whole epoch"
    else
        log "Training with ${config} -> ${exp}; everything it says is in ${exp}/train.log"
    fi
    mkdir -p "${exp}"
    local threads=${train_threads}
    if [ -z "${threads}" ]; then
        threads=1
        [ "${ngpu}" -eq 0 ] && threads=${cores}
    fi
    # shellcheck disable=SC2086 # several words are meant
    OMP_NUM_THREADS=${threads} MKL_NUM_THREADS=${threads} python3 -m espnet2.bin.launch \
        --cmd "${cuda_cmd}" --log "${exp}/train.log" --ngpu "${ngpu}" \
        --num_nodes "${num_nodes}" --init_file_prefix "${exp}/.dist_init_" -- \
        python3 -m espnet2_caresep.bin.train --config "${config}" --resume true \
        "${train_data[@]}" "${valid_data[@]}" \
        --train_shape_file "${stats_dir}/train/speech_ref1_shape" \
        --valid_shape_file "${stats_dir}/valid/speech_mix_shape" \
        --output_dir "${exp}" "$@" ${arguments} >"${exp}/launch.log" 2>&1 &
    local pid=$! watcher
    worked=true
    show_training "${exp}/train.log" "${pid}" &
    watcher=$!
    if ! wait "${pid}"; then
        local last=${exp}/train.log
        [ -s "${last}" ] || last=${exp}/launch.log
        explain_failure "${last}" || exit $?
    fi
    wait "${watcher}" || true
    mark_done "${mark}" "${key}"
}

# keep_to_clips EXP: a training that goes on does so with the clips it began with. Paths
# do not count: the folder may have moved.
keep_to_clips() {
    local key mark=$1/.done/clips train=${data_feats}/${train_set}
    key=$(key_of '' "${train}"/{labels,utt2num_samples})
    if [ -e "$1/checkpoint.pth" ] && [ -e "${mark}" ] && [ "$(cat "${mark}")" != "${key}" ]; then
        fail "$1 began with other training clips than those of ${train}: give this" \
            "training a name of its own (--caresep_tag, --expdir), or remove $1"
    fi
    mark_done "${mark}" "${key}"
}

# show_training LOG PID: the readable lines of a growing log, until the process ends
show_training() {
    tail -n 0 -F --pid="$2" "$1" 2>/dev/null | sed -un \
        -e 's/^.*INFO: \(epoch [0-9]*\/.*\)$/    \1/p' \
        -e 's/^.*INFO: .*\(Estimated time to finish: .*\)$/    \1/Ip' \
        -e 's/^.*WARNING: \(.*\)$/    warning: \1/p' || true # the log may come late
}
