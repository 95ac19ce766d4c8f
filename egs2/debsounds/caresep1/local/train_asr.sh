#!/usr/bin/env bash
# Trains the small recogniser of stage 9: train_asr.sh --data_dir DIR --output_dir DIR.
# It is of one voice and one domain, telephone prompts; any recogniser of ESPnet's model
# zoo can take its place (--asr_model TAG). Further arguments go to espnet2.bin.asr_train.

set -euo pipefail

data_dir=data/asr
output_dir=exp/asr_small
config=conf/asr.yaml
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --data_dir | --output_dir | --config)
            [ $# -ge 2 ] || { echo "$0: error: $1 needs a value" >&2; exit 2; }
            printf -v "${1#--}" '%s' "$2"
            shift 2
            ;;
        *)
            arguments+=("$1")
            shift
            ;;
    esac
done

. ./path.sh

python3 local/asr_units.py --text "${data_dir}/train/text" --output_dir "${output_dir}/units"
data=()
for part in train valid; do
    data+=(
        --"${part}"_data_path_and_name_and_type "${data_dir}/${part}/wav.scp,speech,sound"
        --"${part}"_data_path_and_name_and_type "${data_dir}/${part}/text,text,text"
        --"${part}"_shape_file "${data_dir}/${part}/utt2num_samples")
done
threads=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
OMP_NUM_THREADS=${threads} MKL_NUM_THREADS=${threads} \
    python3 -m espnet2.bin.asr_train --config "${config}" --ngpu 0 --resume true \
    --bpemodel "${output_dir}/units/bpe.model" \
    --token_list "${output_dir}/units/tokens.txt" \
    "${data[@]}" --output_dir "${output_dir}" "${arguments[@]}"
