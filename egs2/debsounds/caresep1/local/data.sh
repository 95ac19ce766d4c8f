#!/usr/bin/env bash
# Stage 1 of debsounds: Debian packages -> data/{train,valid,test}. The table
# debsounds.tsv says everything about the clips, debsounds_more.tsv about the further
# training clips of --more true, which leaves out those that debsounds_copies.txt names, and
# debsounds_elsewhere.tsv about the further test clips of --elsewhere true -> data/elsewhere.
# Run in the folder of the recipe.

set -euo pipefail

output_dir=data
downloads=downloads
nj=2
min_share=0.6
packages=''
labels=''
more=false
more_packages=''
elsewhere=false

usage() {
    cat <<EOF2
Usage: $0 [--option value]...
  --output_dir [${output_dir}]  where train, valid and test are written
  --downloads [${downloads}]  where packages, and what is made of them, are kept
  --nj [${nj}]  parallel processes
  --min_share [${min_share}]  stop if a split has less than this share of its clips
  --packages []  only these Debian packages, separated by commas
  --labels []  only clips of these labels, separated by commas
  --more [${more}]  true: also the training clips of further packages
  --more_packages []  only these of the further packages, separated by commas
  --elsewhere [${elsewhere}]  true: also a test set of packages that no training uses
EOF2
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --output_dir | --downloads | --nj | --min_share | --packages | --labels \
            | --more | --more_packages | --elsewhere)
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

for name in more elsewhere; do
    [[ ${!name} == true || ${!name} == false ]] \
        || { echo "$0: error: --${name} must be true or false" >&2; exit 2; }
done

. ./path.sh

prepare() { # prepare TABLE DERIVED_DIR PACKAGES: the names, or all -> wanted
    local packages=$3
    if [ -z "${packages}" ]; then
        packages=$(awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "package") c = i }
                               NR > 1 { print $c }' "$1" | LC_ALL=C sort -u)
    fi
    read -r -d '' -a wanted <<<"${packages//,/ }" || true
    local/fetch_packages.sh "${downloads}/deb" "${wanted[@]}"
    python3 local/unpack_packages.py --deb_dir "${downloads}/deb" \
        --output_dir "${downloads}/unpacked" "${wanted[@]}"
    python3 local/derive_clips.py --unpacked_dir "${downloads}/unpacked" --table "$1" \
        --output_dir "$2" --nj "${nj}" "${wanted[@]}"
}

write_data() { # write_data DERIVED_DIR OPTIONS...: data directories of the wanted packages
    local derived=$1
    shift
    python3 local/write_data_dirs.py --unpacked_dir "${downloads}/unpacked" \
        --derived_dir "${derived}" --output_dir "${output_dir}" \
        --min_share "${min_share}" "$@" -- "${wanted[@]}"
}

if "${elsewhere}"; then
    prepare local/debsounds_elsewhere.tsv "${downloads}/derived_elsewhere" ''
    write_data "${downloads}/derived_elsewhere" \
        --table local/debsounds_elsewhere.tsv --splits elsewhere
fi
options=()
if "${more}"; then
    prepare local/debsounds_more.tsv "${downloads}/derived_more" "${more_packages}"
    options=(--more_table local/debsounds_more.tsv
             --more_derived_dir "${downloads}/derived_more"
             --more_packages "${wanted[*]}"
             --leave_out local/debsounds_copies.txt)
fi
prepare local/debsounds.tsv "${downloads}/derived" "${packages}"
write_data "${downloads}/derived" --labels "${labels}" "${options[@]}"
