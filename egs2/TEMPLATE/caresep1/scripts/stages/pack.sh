# Stage 11: the model as it is handed out.
# shellcheck shell=bash disable=SC2034,SC2154 # the options are the driver's

stage_11() {
    log "Stage 11: pack the model: ${packed_model}"
    need_model
    local results=${caresep_exp}/scores/RESULTS.md
    need "${results}" 8
    local key mark=${caresep_exp}/.done/pack folder=${caresep_exp}/packed
    local clips=${data_feats}/${train_set:-${test_sets%% *}} extra=()
    key=$(key_of "pack ${pack_dtype} ${hf_license} ${license_note}" \
        "${caresep_exp}/config.yaml" "${results}" "${caresep_exp}/${inference_model}")
    if is_done "${mark}" "${key}" && [ -s "${packed_model}" ]; then
        log "Stage 11 is done already"
        return
    fi
    rm -rf "${folder}"
    mkdir -p "${folder}"
    cp "${caresep_exp}/config.yaml" "${results}" "${results%.md}.json" "${folder}/"
    run python3 -m espnet2_caresep.bin.export_weights --dtype "${pack_dtype}" \
        --model_file "${caresep_exp}/${inference_model}" --output "${folder}/${inference_model}"
    run python3 -m espnet2_caresep.bin.model_card --results "${folder}/RESULTS.json" \
        --train_config "${folder}/config.yaml" --name "$(basename "${packed_model}")" \
        --license "${hf_license}" --license_note "${license_note}" \
        --output "${folder}/README.md"
    # How it is judged whether a sound is there at all
    if separates && [ -n "${valid_set}" ]; then
        run python3 -m espnet2_caresep.bin.calibrate_presence --model "${folder}" \
            --valid_dir "${data_feats}/${valid_set}_mix" \
            --test_dir "${data_feats}/${test_sets%% *}_mix" \
            --config "${folder}/config.yaml" --output "${folder}/presence.json"
        extra+=(--option "${folder}/presence.json")
    fi
    # A query for each class goes along: caresep separate --label
    if [ -s "${clips}/labels" ] && separates; then
        run python3 -m espnet2_caresep.bin.class_queries --model "${folder}" \
            --data_dir "${clips}"
        extra+=(--option "${folder}/class_queries.safetensors")
    fi
    run python3 -m espnet2.bin.pack enh --train_config "${folder}/config.yaml" \
        --model_file "${folder}/${inference_model}" --option "${folder}/RESULTS.md" \
        --option "${folder}/RESULTS.json" --option "${folder}/README.md" "${extra[@]}" \
        --outpath "${folder}/model.zip" >"${folder}/pack.log" 2>&1
    mv "${folder}/model.zip" "${packed_model}"
    mark_done "${mark}" "${key}"
}
