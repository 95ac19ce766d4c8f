# Stages 1 to 4: from the corpus to formatted clips and fixed mixtures.
# shellcheck shell=bash disable=SC2154 # the options are the driver's

stage_1() {
    log "Stage 1: data preparation -> ${datadir}"
    [ -x local/data.sh ] || fail "local/data.sh is missing: a recipe brings it"
    local key mark=${datadir}/.done/data dset sources
    mapfile -t sources < <(find -L local -type f ! -name '*.pyc' | LC_ALL=C sort)
    key=$(key_of "${local_data_opts}" "${sources[@]}")
    if is_done "${mark}" "${key}" && data_is_there; then
        log "Stage 1 is done already"
        return
    fi
    # shellcheck disable=SC2086 # several words are meant
    run local/data.sh --output_dir "${datadir}" --nj "${nj}" ${local_data_opts}
    for dset in ${train_set} ${valid_set} ${test_sets}; do
        [ -s "${datadir}/${dset}/wav.scp" ] || fail "local/data.sh made no ${datadir}/${dset}"
    done
    mark_done "${mark}" "${key}"
}

data_is_there() {
    local dset
    for dset in ${train_set} ${valid_set} ${test_sets}; do
        [ -s "${datadir}/${dset}/wav.scp" ] || return 1
    done
}

stage_2() {
    log "Stage 2: speed perturbation is not used by this recipe"
}

stage_3() {
    log "Stage 3: format wav.scp: ${datadir}/ -> ${data_feats}/"
    local dset
    for dset in ${train_set}; do
        format_set "${dset}" "${data_feats}/org/${dset}"
    done
    for dset in ${valid_set} ${test_sets}; do
        format_set "${dset}" "${data_feats}/${dset}"
    done
    for dset in ${valid_set}; do
        mix_set "${dset}" ''
    done
    for dset in ${test_sets}; do
        mix_set "${dset}" "${data_feats}/${dset}"
    done
}

format_set() { # format_set SET OUTPUT_DIR
    local input=${datadir}/$1 key mark=$2/.done/format files=()
    need "${input}/wav.scp" 1
    need "${input}/labels" 1
    local name
    for name in wav.scp labels cuts utt2class utt2group; do
        [ -e "${input}/${name}" ] && files+=("${input}/${name}")
    done
    key=$(key_of "${fs_hz} ${audio_format}" "${files[@]}")
    if is_done "${mark}" "${key}" && [ -s "$2/wav.scp" ]; then
        log "Stage 3 is done already for ${input}"
        return
    fi
    run python3 -m espnet2_caresep.bin.format_data --data_dir "${input}" \
        --output_dir "$2" --fs "${fs_hz}" --audio_format "${audio_format}" --nj "${nj}"
    mark_done "${mark}" "${key}"
}

mix_set() { # mix_set SET INFERENCE_PREFIX: fixed mixtures of the committed list
    local input=${data_feats}/$1 list=${list_dir}/$1_mixtures.tsv
    local output=${data_feats}/$1_mix key mark=${data_feats}/$1_mix/.done/mix
    [ -e "${list}" ] || fail "${list} is missing: a recipe brings it (--list_dir)"
    local made_with=${input}/data/.made_with options=()
    key=$(key_of "${fs_hz} $2" "${list}" "${input}/wav.scp" "${input}/labels" "${made_with}")
    if is_done "${mark}" "${key}" && [ -s "${output}/wav.scp" ] \
        && { [ -z "$2" ] || [ -s "$2_matched_other/wav.scp" ]; }; then
        log "Stage 3 is done already for the mixtures of ${list}"
        return
    fi
    [ -n "$2" ] && options=(--inference_prefix "$2")
    run python3 -m espnet2_caresep.bin.make_mixtures --data_dir "${input}" \
        --list "${list}" --output_dir "${output}" --fs "${fs_hz}" "${options[@]}"
    mark_done "${mark}" "${key}"
}

stage_4() {
    local input=${data_feats}/org/${train_set} output=${data_feats}/${train_set}
    log "Stage 4: leave out clips that are too short or too long: ${output}"
    need "${input}/wav.scp" 3
    local key mark=${output}/.done/filter
    key=$(key_of "${min_wav_duration} ${max_wav_duration} ${fs_hz}" \
        "${input}"/{wav.scp,labels,utt2num_samples})
    if is_done "${mark}" "${key}" && [ -s "${output}/wav.scp" ]; then
        log "Stage 4 is done already"
        return
    fi
    run python3 -m espnet2_caresep.bin.filter_data --data_dir "${input}" \
        --output_dir "${output}" --fs "${fs_hz}" \
        --min_wav_duration "${min_wav_duration}" --max_wav_duration "${max_wav_duration}"
    mark_done "${mark}" "${key}"
}
