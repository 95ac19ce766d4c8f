# Stages 7 and 8: separation and tagging of the test sets, scores.
# shellcheck shell=bash disable=SC2034,SC2154 # the options are the driver's

need_model() {
    need "${caresep_exp}/config.yaml" 6
    [ -e "${caresep_exp}/${inference_model}" ] || separates \
        || fail "a tagger has no ${inference_model}; give --inference_model valid.mAP.best.pth"
    need "${caresep_exp}/${inference_model}" 6
}

# A network that was trained to tag alone separates nothing
separates() { ! grep -q '^mode: cls$' "${caresep_exp}/config.yaml"; }

stage_7() {
    log "Stage 7: separate and tag the test sets: ${inference_dir}"
    need_model
    local dset name
    for dset in ${test_sets}; do
        if separates; then
            for name in ${eval_sets}; do infer_set "${dset}_${name}" separate; done
        fi
        infer_set "${dset}" tag
    done
}

infer_set() { # infer_set SET separate|tag
    local input=${data_feats}/$1 output=${inference_dir}/$1 data key
    need "${input}/wav.scp" 3
    local mark=${output}/.done/inference files=("${input}/wav.scp")
    data=(--data_path_and_name_and_type "${input}/wav.scp,speech_mix,sound")
    if [ "$2" = separate ]; then
        data+=(--data_path_and_name_and_type
               "${input}/enroll_spk1.scp,enroll_ref1,sound")
        files+=("${input}/enroll_spk1.scp")
    fi
    files+=("${caresep_exp}/config.yaml" "${caresep_exp}/${inference_model}")
    # The audio may be new under old names
    local made
    for made in "${input}" "${data_feats}/${1%%_*}_mix"; do
        [ -e "${made}/data/.made_with" ] && files+=("${made}/data/.made_with")
    done
    key=$(key_of "${inference_args}" "${files[@]}")
    if is_done "${mark}" "${key}"; then
        log "Stage 7 is done already for $1"
        return
    fi
    local jobs total gpu=0
    total=$(wc -l <"${input}/wav.scp")
    jobs=$(num_jobs "${inference_nj}" "${input}/wav.scp")
    "${gpu_inference}" && gpu=1
    split_keys "${input}/wav.scp" "${jobs}" "${output}/keys"
    rm -f "${output}"/{spk1.scp,tags.tsv,skipped}
    # shellcheck disable=SC2086 # several words are meant
    ${decode_cmd} --gpu "${gpu}" JOB="1:${jobs}" "${output}/logs/inference.JOB.log" \
        python3 -m espnet2_caresep.bin.inference --task "$2" "${data[@]}" \
        --key_file "${output}/keys/keys.JOB" --ngpu "${gpu}" \
        --train_config "${caresep_exp}/config.yaml" \
        --model_file "${caresep_exp}/${inference_model}" \
        --output_dir "${output}/output.JOB" ${inference_args} &
    local pid=$!
    watch_count "$1" "${total}" "${pid}" count_outputs "${output}"
    wait "${pid}" || exit $?
    worked=true
    merge_outputs "$2" "${output}" "${jobs}"
    mark_done "${mark}" "${key}"
    log "$1: $((total - $(wc -l <"${output}/skipped"))) of ${total} items"
}

count_outputs() { find "$1" -path '*/wavs/*.wav' ! -name '.*' -newer "$1/keys" | wc -l; }

merge_outputs() { # merge_outputs separate|tag DIR JOBS
    local parts=() n
    for ((n = 1; n <= $3; n++)); do parts+=("$2/output.${n}"); done
    LC_ALL=C sort "${parts[@]/%//skipped}" >"$2/skipped"
    if [ "$1" = separate ]; then
        LC_ALL=C sort "${parts[@]/%//spk1.scp}" >"$2/spk1.scp"
    else
        head -n 1 "${parts[0]}/tags.tsv" >"$2/tags.tsv"
        tail -q -n +2 "${parts[@]/%//tags.tsv}" | LC_ALL=C sort >>"$2/tags.tsv"
    fi
    local skipped
    skipped=$(wc -l <"$2/skipped")
    [ "${skipped}" -eq 0 ] || log "skipped ${skipped} items: $(head -n 1 "$2/skipped")" \
        "(all in $2/skipped)"
}

stage_8() {
    log "Stage 8: scores and a gallery: ${caresep_exp}"
    need_model
    local dset output lists key mark inputs
    for dset in ${test_sets}; do
        output=${caresep_exp}/scores
        # Further test sets beside the first one
        [ "${dset}" = "${test_sets%% *}" ] || output+=_${dset}
        need "${inference_dir}/${dset}/.done/inference" 7
        mapfile -t inputs < <(ls -d "${inference_dir}/${dset}"{,_*}/.done/inference)
        mark=${output}/.done/scores
        key=$(key_of "${gallery_items} ${scoring_args}" "${inputs[@]}")
        if is_done "${mark}" "${key}" && [ -s "${output}/RESULTS.md" ]; then
            log "Stage 8 is done already: ${output}/RESULTS.md"
            continue
        fi
        lists=(--data_list "${list_dir}/${dset}_mixtures.tsv")
        # shellcheck disable=SC2086 # several words are meant
        run python3 -m espnet2_caresep.bin.scoring --test_dir "${data_feats}" \
            --test_set "${dset}" --inference_dir "${inference_dir}" \
            --tags "${inference_dir}/${dset}/tags.tsv" \
            --labels "${data_feats}/${dset}/labels" \
            --train_config "${caresep_exp}/config.yaml" \
            --model_file "${caresep_exp}/${inference_model}" \
            --data "${corpus}" "${lists[@]}" --command "${invocation}" \
            --wall_time "$(total_seconds)" --output_dir "${output}" ${scoring_args}
        log "Scores: ${output}/RESULTS.md"
        if [ "${gallery_items}" -gt 0 ] && [ -d "${inference_dir}/${dset}_mixture_other" ]; then
            run python3 -m espnet2_caresep.bin.gallery \
                --test_set "${data_feats}/${dset}_mixture_other" \
                --inference_dir "${inference_dir}/${dset}_mixture_other" \
                --num_items "${gallery_items}" --output_dir "${output}/gallery"
            log "Pictures and sounds: ${output}/gallery"
        fi
        mark_done "${mark}" "${key}"
    done
}
