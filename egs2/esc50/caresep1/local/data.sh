#!/usr/bin/env bash
# Stage 1 of esc50: ESC-50 -> data/test and the list of pairs. Run in the folder of the
# recipe.

set -euo pipefail

output_dir=data
nj=2
pairs=2000
min_share=0.95

usage() {
    cat <<EOF2
Usage: ESC50=FOLDER $0 [--option value]...
  --output_dir [${output_dir}]  where the data directory is written
  --nj [${nj}]  not used
  --pairs [${pairs}]  keep this many mixtures
  --min_share [${min_share}]  stop if less than this share of the clips is there
EOF2
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --output_dir | --nj | --pairs | --min_share)
            [ $# -ge 2 ] || { echo "$0: error: $1 needs a value" >&2; exit 2; }
            printf -v "${1#--}" '%s' "$2"
            shift 2
            ;;
        *)
            echo "$0: error: unknown option $1; see --help" >&2
            exit 2
            ;;
    esac
done

instructions() {
    cat >&2 <<EOF2
$0: error: $*
ESC-50 (Karol J. Piczak, 2015) is 2,000 clips of 5 s, 0.9 GB, free for non-commercial use
(CC BY-NC). Download its repository, ESC-50 of karolpiczak on GitHub, as a zip file or with
git, unpack it, and name the folder that holds audio/ and meta/:
  ESC50=FOLDER ./run.sh --caresep_exp MODEL
or write it into local/path.sh.
EOF2
    exit 2
}

. local/path.sh
[ -n "${ESC50}" ] || instructions "ESC50 is not set: where is ESC-50?"
[ -d "${ESC50}" ] || instructions "ESC50=${ESC50} is not a folder"
for name in meta/esc50.csv audio; do
    [ -e "${ESC50}/${name}" ] || instructions "${ESC50}/${name} is missing"
done

. ./path.sh

python3 local/write_data_dir.py --corpus_dir "${ESC50}" --output_dir "${output_dir}/test" \
    --min_share "${min_share}"
python3 -m espnet2_caresep.bin.draw_pairs --data_dir "${output_dir}/test" \
    --output "${output_dir}/test_mixtures.tsv" --seconds 5 --pairs "${pairs}"
