#!/usr/bin/env bash
# The recipe driver: from a corpus to scores. Stage numbers and option names are those of
# ESPnet's enh.sh. A stage that is finished is not done again, and a run that was killed
# goes on where it stopped.

# shellcheck disable=SC2034 # the stages, in scripts/stages, use what is set here
set -euo pipefail

scripts=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/scripts
# shellcheck source=scripts/common.sh
. "${scripts}/common.sh"

# === options: name=default  # help (--help and the parser read these lines) ===
# General
stage=1                 # first stage to run
stop_stage=13           # last stage to run
skip_data_prep=false    # skip stages 1 to 5
skip_train=false        # skip stage 6
skip_eval=false         # skip stages 7 to 10
skip_packing=false      # skip stage 11
skip_upload=true        # skip stage 12
skip_upload_hf=true     # skip stage 13
force=false             # do a stage again even if it is finished (training goes on)
ngpu=1                  # GPUs per node for training; 0 trains on the CPU
num_nodes=1             # nodes for training
nj=                     # parallel jobs (default: the number of CPU cores)
inference_nj=           # parallel jobs in inference (default: the number of CPU cores)
gpu_inference=false     # separate and tag on GPUs
datadir=data            # where stage 1 writes
dumpdir=dump            # where stages 3 and 4 write
expdir=exp              # where the rest goes
python=                 # Python to use instead of the environment of path.sh
# Data preparation
corpus=                 # name of the corpus, for the record in RESULTS.md
local_data_opts=        # options for local/data.sh
train_set=train         # name of the training set; empty: no training (stages 4 to 6)
valid_set=valid         # name of the validation set; empty where nothing is trained
test_sets="test"        # names of the test sets, separated by spaces
list_dir=local          # holds SET_mixtures.tsv, the pairs of the fixed mixtures
labels=                 # file of all classes, one a line (default: those of the clips)
fs=32k                  # sample rate
audio_format=wav        # wav or flac (16 bits), or wav.float
min_wav_duration=0.1    # shorter training clips are left out (seconds)
max_wav_duration=20     # longer training clips are left out (seconds)
# Training
caresep_config=conf/train.yaml # configuration of the training
caresep_args=           # further arguments, such as "--max_epoch 10"
caresep_tag=            # suffix of the experiment directory (default: from the two)
caresep_exp=            # the experiment directory itself; caresep_tag is then ignored
init_param=             # weights to start from: FILE:SOURCE_KEY:TARGET_KEY[:LEFT_OUT] ...
                        # (default: those of the configuration)
pretrain_args=          # further arguments for the training that a configuration starts from
train_threads=          # CPU threads for training (default: all cores without a GPU, else 1)
# Inference and scores
inference_model=valid.mixture_sdr.best.pth # weights for stages 7 to 11
download_model=         # a packed model for stages 7 to 10 (zip, URL, tag), not a trained one
inference_args=         # further arguments for inference
eval_sets=              # what to separate: some of KIND_own and KIND_other, where KIND is
                        # mixture, matched, clean or silence (default: all)
scoring_args=           # further arguments for scoring, such as --model_only
inference_tag=          # suffix of the directory of outputs (default: from the two)
pack_dtype=float16      # precision of the packed weights: float16 or float32
gallery_items=6         # test mixtures to show; 0: no gallery
# Speech recognition
score_with_asr=false    # run stages 9 and 10
asr_model=              # recogniser: tag, zip, folder or MODULE:FUNCTION (default: a small one
                        # is trained)
asr_args=               # arguments of its search, such as "--beam_size 5"
asr_snrs="0 -5"         # of the mixtures with speech in dB
asr_observations="0.2 0.5 1" # shares of the mixture added to what was separated
asr_exclude="speech scream" # labels of test clips that are no noise to speech
# Upload
hf_repo=                # USER/NAME on Hugging Face; log in with "hf auth login" before
hf_license=apache-2.0   # licence of the weights
license_note=           # what else the model card says of rights
hf_private=false        # make a new repository a private one
# === end of options ===

show_help() {
    cat <<END
Usage: $0 [--option value]...

Stages: 1 data preparation, 2 (speed perturbation: not used), 3 format and mix,
4 length filter, 5 statistics, 6 training, 7 inference, 8 scores and gallery,
9 speech recognition and 10 word error rates (both with --score_with_asr true),
11 pack, 12 (Zenodo: not used), 13 upload to Hugging Face.

Options [default]:
END
    show_options "${BASH_SOURCE[0]}"
}

for argument in "$@"; do
    if [ "${argument}" = --help ] || [ "${argument}" = -h ]; then
        show_help
        exit 0
    fi
done
invocation=${CARESEP_INVOCATION:-$0 $*}
parse_options "${BASH_SOURCE[0]}" "$@"

# ---- what follows from the options ----

[[ ${fs} =~ ^[1-9][0-9]*k?$ ]] || fail "--fs must be a rate such as 32k or 44100, got ${fs}"
fs_hz=${fs/%k/000}
# nproc would answer OMP_NUM_THREADS, which path.sh sets to 1
cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
nj=${nj:-${cores}}
inference_nj=${inference_nj:-${cores}}
for name in nj inference_nj num_nodes; do
    [[ ${!name} =~ ^[1-9][0-9]*$ ]] || fail "--${name} must be 1 or more, got ${!name}"
done
if [ -n "${python}" ]; then
    CARESEP_PYTHON=$(command -v "${python}") || fail "--python ${python} is not there"
    export CARESEP_PYTHON
fi

tag_of() { # tag_of CONFIG ARGUMENTS
    local tag
    tag=$(basename "$1" .yaml)
    [ -z "$2" ] || tag+=$(sed -e 's/--\|\//_/g' -e 's/[ |=]//g' <<<"$2")
    echo "${tag}"
}

if [ -n "${download_model}" ]; then # an experiment of its own, which has its name
    skip_train=true skip_packing=true
    inference_model=$(basename "${download_model}" .zip).pth
    caresep_exp=${caresep_exp:-${expdir}/${inference_model%.pth}}
fi
data_feats=${dumpdir}/raw
stats_dir=${expdir}/caresep_stats_${fs}
caresep_tag=${caresep_tag:-$(tag_of "${caresep_config}" "${caresep_args}")}
caresep_exp=${caresep_exp:-${expdir}/caresep_${caresep_tag}}
if [ -z "${inference_tag}" ]; then
    inference_tag=$(tag_of "${inference_model%.pth}" "${inference_args}")
fi
inference_dir=${caresep_exp}/inference_${inference_tag}
eval_sets=${eval_sets:-$(echo {mixture,matched,clean,silence}_{own,other})}
packed_model=${caresep_exp}/${caresep_exp##*/}_${inference_model%.pth}.zip
corpus=${corpus:-$(basename "$(dirname "${PWD}")")}

# ---- the environment and the job commands ----

# shellcheck source=scripts/times.sh
. "${scripts}/times.sh"
began=${SECONDS}
. ./path.sh
. ./cmd.sh
setup_seconds=$((SECONDS - began))

# Jobs on this machine end when this process is gone, however it went
export CARESEP_OWNER=$$
end_children() {
    local status=$? children
    cut_stage
    mapfile -t children < <(jobs -p)
    [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
    exit "${status}"
}
trap end_children EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

for name in data train evaluate pack asr upload; do
    # shellcheck disable=SC1090
    . "${scripts}/stages/${name}.sh"
done

stage_12() { log "Stage 12: upload to Zenodo is not used"; }

is_skipped() { # is_skipped STAGE
    case $1 in
        [4-6]) [ -z "${train_set}" ] && return ;;
    esac
    case $1 in
        [1-5]) "${skip_data_prep}" ;;
        6) "${skip_train}" ;;
        7 | 8) "${skip_eval}" ;;
        9 | 10) "${skip_eval}" || ! "${score_with_asr}" ;;
        11) "${skip_packing}" ;;
        12) "${skip_upload}" ;;
        13) "${skip_upload_hf}" ;;
    esac
}

if [ -n "${download_model}" ]; then
    run python3 -m espnet2_caresep.bin.fetch_model --model "${download_model}" \
        --config "${caresep_exp}/config.yaml" --weights "${caresep_exp}/${inference_model}"
fi

# Making the environment is part of what a first run takes
if [ "${setup_seconds}" -ge 5 ]; then
    current_stage=0
    note_seconds '' "${setup_seconds}"
fi
for ((number = stage; number <= stop_stage && number <= 13; number++)); do
    if [ "${number}" -lt 1 ] || is_skipped "${number}"; then continue; fi
    begin_stage "${number}"
    "stage_${number}"
    end_stage
done
log "Finished [seconds: ${SECONDS}]"
