#!/usr/bin/env bash
# Stage 1 of audioset: AudioSet's lists and audio -> data/{train_SUBSET,valid,eval} and the
# lists of pairs. Run in the folder of the recipe.

set -euo pipefail

output_dir=data
nj=2
subset=full
min_share=0.5
valid_clips=1054
valid_pairs=500
eval_pairs=1000
unpacked=downloads/shards

usage() {
    cat <<EOF2
Usage: AUDIOSET=FOLDER $0 [--option value]...
  --output_dir [${output_dir}]  where the data directories are written
  --nj [${nj}]  parallel processes
  --subset [${subset}]  full (unbalanced and balanced list) or balanced
  --min_share [${min_share}]  stop if a set has less than this share of its clips
  --valid_clips [${valid_clips}]  clips of the balanced list that are held out
  --valid_pairs [${valid_pairs}]  mixtures of them to validate on
  --eval_pairs [${eval_pairs}]  mixtures of the evaluation set to test on
  --unpacked [${unpacked}]  where the clips of tar shards are unpacked
EOF2
}

fail() {
    echo "$0: error: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --output_dir | --nj | --subset | --min_share | --valid_clips | --valid_pairs \
            | --eval_pairs | --unpacked)
            [ $# -ge 2 ] || fail "$1 needs a value"
            printf -v "${1#--}" '%s' "$2"
            shift 2
            ;;
        *) fail "unknown option $1; see --help" ;;
    esac
done
lists=(eval_segments.csv balanced_train_segments.csv class_labels_indices.csv ontology.json)
case ${subset} in
    full) lists+=(unbalanced_train_segments.csv) ;;
    balanced) ;;
    *) fail "--subset must be full or balanced, got ${subset}" ;;
esac

instructions() {
    cat >&2 <<EOF2
$0: error: $*
AudioSet is a list of labelled segments of YouTube videos; nobody may hand on its audio,
so this recipe cannot download it. You need, in one folder:
  1. From the download page of AudioSet (Google Research):
     balanced_train_segments.csv, unbalanced_train_segments.csv, eval_segments.csv and
     class_labels_indices.csv; from AudioSet's "ontology" repository: ontology.json.
     Here or in the folder metadata/ here.
  2. The 10-second segments that those lists name, as wav, flac, mp3 or opus files, in
     folders of any names or in tar archives: ask at your institution for a copy, or
     download the segments with a tool of your choice. Files are Y<YTID>.wav,
     <YTID>.flac, <YTID>_<start>.mp3, <YTID>_<start>_<end>.opus and the like.
Then name the folder: AUDIOSET=FOLDER ./run.sh, or write it into local/path.sh. For the
22,000 clips of the balanced list instead of two million: ./run.sh --subset balanced
EOF2
    exit 2
}

. local/path.sh
[ -n "${AUDIOSET}" ] || instructions "AUDIOSET is not set: where is AudioSet?"
[ -d "${AUDIOSET}" ] || instructions "AUDIOSET=${AUDIOSET} is not a folder"
metadata=${AUDIOSET}
[ ! -d "${AUDIOSET}/metadata" ] || metadata=${AUDIOSET}/metadata
for name in "${lists[@]}"; do
    [ -e "${metadata}/${name}" ] || instructions "${metadata}/${name} is missing"
done

. ./path.sh

python3 local/unpack_shards.py --corpus_dir "${AUDIOSET}" --metadata_dir "${metadata}" \
    --output_dir "${unpacked}" --subset "${subset}" --nj "${nj}"
audio=(--audio_dir "${AUDIOSET}")
[ ! -d "${unpacked}" ] || audio+=(--audio_dir "${unpacked}")
python3 local/write_data_dirs.py --metadata_dir "${metadata}" "${audio[@]}" \
    --output_dir "${output_dir}" --subset "${subset}" --valid_clips "${valid_clips}" \
    --min_share "${min_share}"
for name in valid eval; do
    pairs=${name}_pairs
    # A clip in silence cannot be mixed at equal energy
    python3 -m espnet2_caresep.bin.draw_pairs --data_dir "${output_dir}/${name}" \
        --output "${output_dir}/${name}_mixtures.tsv" --seconds 10 --clips "${!pairs}" \
        --above "${output_dir}/above" --exclude Silence
done
