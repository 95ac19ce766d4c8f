#!/usr/bin/env bash
# Stage 1 of debsounds: Debian packages -> data/{train,valid,test}. The table
# debsounds.tsv says everything about the clips. Run in the folder of the recipe.

set -euo pipefail

output_dir=data
downloads=downloads
nj=2
min_share=0.6
packages=''
labels=''

usage() {
    cat <<EOF2
Usage: $0 [--option value]...
  --output_dir [${output_dir}]  where train, valid and test are written
  --downloads [${downloads}]  where packages, and what is made of them, are kept
  --nj [${nj}]  parallel processes
  --min_share [${min_share}]  stop if a split has less than this share of its clips
  --packages []  only these Debian packages, separated by commas
  --labels []  only clips of these labels, separated by commas
EOF2
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --output_dir | --downloads | --nj | --min_share | --packages | --labels)
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

. ./path.sh

if [ -z "${packages}" ]; then
    packages=$(awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "package") c = i }
                           NR > 1 { print $c }' local/debsounds.tsv | LC_ALL=C sort -u)
fi
read -r -d '' -a wanted <<<"${packages//,/ }" || true

local/fetch_packages.sh "${downloads}/deb" "${wanted[@]}"
python3 local/unpack_packages.py --deb_dir "${downloads}/deb" \
    --output_dir "${downloads}/unpacked" "${wanted[@]}"
python3 local/derive_clips.py --unpacked_dir "${downloads}/unpacked" \
    --output_dir "${downloads}/derived" --nj "${nj}" "${wanted[@]}"
python3 local/write_data_dirs.py --unpacked_dir "${downloads}/unpacked" \
    --derived_dir "${downloads}/derived" --output_dir "${output_dir}" \
    --min_share "${min_share}" --labels "${labels}" "${wanted[@]}"
