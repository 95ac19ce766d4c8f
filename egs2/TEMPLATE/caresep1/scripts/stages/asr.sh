# Stages 9 and 10: what a recogniser makes of mixtures, separated and clean speech.
# shellcheck shell=bash disable=SC2034,SC2154 # the options are the driver's

asr_dir=${datadir}/asr
small_asr=${expdir}/asr_small

# Groups of speech: to test with, that which the recogniser's training had not and had; and
# such speech again to choose with, among sounds of the validation set
asr_groups=(unseen seen)
[ -z "${valid_set}" ] || asr_groups+=(valid valid_seen)

asr_sets() { # asr_sets GROUP...: each at each ratio
    local group snr
    for group in "$@"; do
        for snr in ${asr_snrs}; do echo "asr_${group}_${snr}dB"; done
    done
}

no_transcripts() {
    [ -x local/asr_data.sh ] && return 1
    log "Stage $1: this recipe has no speech with transcripts (local/asr_data.sh)"
}

stage_9() {
    no_transcripts 9 && return
    need_model
    local model=${asr_model} dset
    prepare_asr_data
    if [ -z "${model}" ]; then
        model=${small_asr}
        train_small_asr
    fi
    log "Stage 9: recognise speech with ${model}"
    for dset in $(asr_sets "${asr_groups[@]}"); do
        infer_set "${dset}" separate
        recognise_set "${dset}" "${model}"
    done
}

prepare_asr_data() {
    local key mark=${asr_dir}/.done/data group noise
    for noise in ${test_sets%% *} ${valid_set}; do need "${data_feats}/${noise}/wav.scp" 3; done
    key=$(key_of "${asr_snrs} ${asr_exclude} ${fs_hz}" local/asr_data.* \
        "${data_feats}"/{"${test_sets%% *}","${valid_set}"}/wav.scp)
    if is_done "${mark}" "${key}"; then
        log "Stage 9: the mixtures with speech are there already"
        return
    fi
    log "Stage 9: mixtures with speech at ${asr_snrs} dB"
    run local/asr_data.sh --output_dir "${asr_dir}"
    for group in "${asr_groups[@]}"; do
        noise=${test_sets%% *}
        [[ ${group} != valid* ]] || noise=${valid_set}
        # shellcheck disable=SC2086 # several words are meant
        run python3 -m espnet2_caresep.bin.mix_speech --speech_dir "${asr_dir}/${group}" \
            --query_dir "${asr_dir}/train" --noise_dir "${data_feats}/${noise}" \
            --exclude ${asr_exclude} --snrs ${asr_snrs} --fs "${fs_hz}" \
            --output_prefix "${data_feats}/asr_${group}"
    done
    mark_done "${mark}" "${key}"
}

train_small_asr() {
    local key mark=${small_asr}/.done/train
    [ -x local/train_asr.sh ] || fail "--asr_model says which recogniser; this recipe trains none"
    key=$(key_of '' local/train_asr.sh local/asr_units.py conf/asr.yaml \
        "${asr_dir}"/{train,valid}/{wav.scp,text})
    if is_done "${mark}" "${key}"; then
        log "Stage 9: the recogniser is trained already: ${small_asr}"
        return
    fi
    log "Stage 9: train a small recogniser; everything it says is in ${small_asr}/train_asr.log"
    mkdir -p "${small_asr}"
    worked=true
    local/train_asr.sh --data_dir "${asr_dir}" --output_dir "${small_asr}" \
        >"${small_asr}/train_asr.log" 2>&1 &
    wait $! || { explain_failure "${small_asr}/train_asr.log" || exit $?; }
    mark_done "${mark}" "${key}"
}

recognise_set() { # recognise_set SET MODEL
    local input=${data_feats}/$1 output=${inference_dir}/$1/asr key jobs n model=$2 gpu=0
    local mark=${output}/.done/recognise weights=()
    # A folder's weights may be new under old names
    [ -d "${model}" ] && mapfile -t weights < <(find "${model}" -maxdepth 1 -name '*.pth')
    key=$(key_of "${model} ${asr_args} ${asr_observations}" "${input}"/{text,wav.scp} \
        "${inference_dir}/$1/.done/inference" "${weights[@]}")
    if is_done "${mark}" "${key}"; then
        log "Stage 9 is done already for $1"
        return
    fi
    "${gpu_inference}" && gpu=1
    jobs=$(num_jobs "${inference_nj}" "${input}/wav.scp")
    split_keys "${input}/wav.scp" "${jobs}" "${output}/keys"
    # shellcheck disable=SC2086 # several words are meant
    run ${decode_cmd} --gpu "${gpu}" JOB="1:${jobs}" "${output}/logs/recognise.JOB.log" \
        python3 -m espnet2_caresep.bin.asr_decode --asr ${model} --data_dir "${input}" \
        --separated "${inference_dir}/$1/spk1.scp" --key_file "${output}/keys/keys.JOB" \
        --observations ${asr_observations} --ngpu "${gpu}" \
        --output_dir "${output}/output.JOB" ${asr_args}
    head -n 1 "${output}/output.1/hyp.tsv" >"${output}/hyp.part"
    for ((n = 1; n <= jobs; n++)); do
        tail -n +2 "${output}/output.${n}/hyp.tsv"
    done | LC_ALL=C sort -s -t $'\t' -k 1,1 >>"${output}/hyp.part"
    mv "${output}/hyp.part" "${inference_dir}/$1/hyp.tsv"
    mark_done "${mark}" "${key}"
}

stage_10() {
    no_transcripts 10 && return
    need_model
    local dset sets chosen_on=() weights
    weights=$(sha256sum "${caresep_exp}/${inference_model}")
    mapfile -t sets < <(asr_sets unseen seen)
    [ -z "${valid_set}" ] || mapfile -t chosen_on < <(asr_sets valid valid_seen)
    for dset in "${sets[@]}" "${chosen_on[@]}"; do
        need "${inference_dir}/${dset}/hyp.tsv" 9
    done
    log "Stage 10: word error rates"
    run python3 -m espnet2_caresep.bin.asr_scoring --data_dir "${data_feats}" \
        --sets "${sets[@]}" --valid_sets "${chosen_on[@]}" \
        --inference_dir "${inference_dir}" \
        --separator "${inference_model}, SHA-256 ${weights:0:16}" \
        --asr "${asr_model:-${small_asr} (small: one voice, telephone prompts)}" \
        --output_dir "${caresep_exp}/scores"
    log "Word error rates: ${caresep_exp}/scores/WER.md"
}
