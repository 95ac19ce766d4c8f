#!/usr/bin/env bash
# Prompts with transcripts for stage 9: asr_data.sh --output_dir DIR writes
# DIR/{train,valid,valid_seen,unseen,seen}. Run in the folder of the recipe. The texts come from the
# package asterisk-core-sounds-en (CC-BY-SA-3.0), as the audio does.

set -euo pipefail

output_dir=data/asr
downloads=downloads
while [ $# -gt 0 ]; do
    case $1 in
        --output_dir | --downloads)
            [ $# -ge 2 ] || { echo "$0: error: $1 needs a value" >&2; exit 2; }
            printf -v "${1#--}" '%s' "$2"
            shift 2
            ;;
        *)
            echo "$0: error: unknown option $1" >&2
            exit 2
            ;;
    esac
done

. ./path.sh

packages=(asterisk-core-sounds-en asterisk-core-sounds-en-g722)
local/fetch_packages.sh "${downloads}/deb" "${packages[@]}"
python3 local/unpack_packages.py --deb_dir "${downloads}/deb" \
    --output_dir "${downloads}/unpacked" "${packages[@]}"
python3 local/asr_data.py --unpacked_dir "${downloads}/unpacked" \
    --table local/debsounds.tsv --output_dir "${output_dir}"
