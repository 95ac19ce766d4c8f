# Stage 13: the packed model to Hugging Face.
# shellcheck shell=bash disable=SC2154 # the options are the driver's

stage_13() {
    log "Stage 13: upload to Hugging Face: ${hf_repo}"
    [ -n "${hf_repo}" ] || fail "--hf_repo USER/NAME says where to upload"
    local results=${caresep_exp}/scores/RESULTS.json options=()
    need "${results}" 8
    need "${packed_model}" 11
    "${hf_private}" && options+=(--private)
    run python3 -m espnet2_caresep.bin.upload --packed_model "${packed_model}" \
        --results "${results}" --output_dir "${caresep_exp}/hf_repo" \
        --hf_repo "${hf_repo}" --license "${hf_license}" \
        --license_note "${license_note}" "${options[@]}"
}
