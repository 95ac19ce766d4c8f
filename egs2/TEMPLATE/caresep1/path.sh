# Finds the Python environment and sets what all stages rely on. Sourced in the folder of
# a recipe: by caresep.sh, by local/data.sh, or by hand to run a command of a stage.
# shellcheck shell=bash

# `..` by name and not by link, so that a recipe that is linked into an ESPnet checkout
# finds the checkout.
MAIN_ROOT=$(cd "${PWD}/../../.." && pwd)
if [ -n "${CARESEP_ENVIRONMENT:-}" ]; then
    : # found already by the recipe that this command belongs to
elif [ -e "${MAIN_ROOT}/tools/activate_python.sh" ] && [ -z "${CARESEP_PYTHON:-}" ]; then
    # Inside an ESPnet checkout: its environment. Its path.sh looks for the checkout above
    # ${PWD}, where it is not when this folder is linked in.
    caresep_checkout=${MAIN_ROOT} caresep_recipe=${PWD}
    PWD=${MAIN_ROOT}/egs2/TEMPLATE/enh1
    # shellcheck disable=SC1091
    . "${MAIN_ROOT}/egs2/TEMPLATE/enh1/path.sh"
    PWD=${caresep_recipe} MAIN_ROOT=${caresep_checkout}
    PATH=${MAIN_ROOT}/egs2/TEMPLATE/asr1/utils:${PATH}
    python3 -c 'import espnet2_caresep' 2>/dev/null || {
        echo "path.sh: error: the environment of ${MAIN_ROOT} lacks espnet2_caresep:" \
             "install it there (pip install -e CLONE)" >&2
        exit 2
    }
else
    caresep_template=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
    "${caresep_template}/setup_env.sh" || exit $?
    caresep_python=$("${caresep_template}/setup_env.sh" --print) || exit $?
    PATH=$(dirname "${caresep_python}"):${PATH}
fi
export PATH
CARESEP_ENVIRONMENT=$(command -v python3)
export CARESEP_ENVIRONMENT

export LC_ALL=C PYTHONIOENCODING=UTF-8 PYTHONUNBUFFERED=1
# One thread a process; stage 6 raises it for training on a CPU
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
