#!/usr/bin/env bash
# Makes the Python environment that the recipes and the tests share, or finds it ready.
#
#   setup_env.sh           prepare .venv at the top of the clone; costs nothing when it
#                          is ready already
#   setup_env.sh --print   only say which python is used (exit 2 when none is ready)
#
# An environment that is given by CARESEP_PYTHON=/path/to/python is taken as it is. Inside
# an ESPnet checkout, path.sh takes the checkout's and does not come here.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "${here}/../../.." && pwd -P)
venv=${root}/.venv
constraints=${root}/conf/constraints.txt
stamp=${venv}/.caresep_ready        # names what the environment was made from
unfinished=${venv}/.caresep_unfinished

say() { echo "setup_env.sh: $*"; }
fail() { echo "setup_env.sh: error: $*" >&2; exit 2; }

# An interpreter of a version that ESPnet and this package support
right_version() {
    "$1" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' \
        >/dev/null 2>&1
}

find_python() {
    local candidate version
    for candidate in python3.12 python3.13 python3 python \
        "${PYENV_ROOT:-${HOME}/.pyenv}"/versions/3.1[23].*/bin/python; do
        if right_version "${candidate}"; then
            "${candidate}" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    if command -v uv >/dev/null; then
        for version in 3.12 3.13; do
            candidate=$(uv python find "${version}" 2>/dev/null || true)
            if [ -n "${candidate}" ] && right_version "${candidate}"; then
                echo "${candidate}"
                return
            fi
        done
    fi
    fail "Python 3.12 or 3.13 is needed and none was found on PATH, in pyenv or in uv" \
         "(for example: apt install python3.12-venv, pyenv install 3.12, or uv python" \
         "install 3.12)"
}

given_python() { # the interpreter that somebody chose, if any
    if [ -n "${CARESEP_PYTHON:-}" ]; then
        command -v "${CARESEP_PYTHON}" \
            || fail "CARESEP_PYTHON=${CARESEP_PYTHON} is not there"
    fi
}

check_given() {
    "$1" -c 'import espnet2, espnet2_caresep' 2>/dev/null \
        || fail "$1 cannot import espnet2 and espnet2_caresep: install this package into" \
                "that environment (pip install -e CLONE)"
}

wanted_stamp() {
    cat "${root}/setup.py" "${constraints}" "${here}/setup_env.sh" | sha256sum \
        | cut -d' ' -f1
}

is_ready() {
    [ -x "${venv}/bin/python" ] && [ -e "${stamp}" ] && [ ! -e "${unfinished}" ] \
        && [ "$(cat "${stamp}")" = "$(wanted_stamp)" ]
}

make_venv() {
    local python
    python=$(find_python)
    say "making ${venv} with ${python} ($("${python}" -V))"
    "${python}" -c 'import venv, ensurepip' 2>/dev/null \
        || fail "${python} has no venv module; on Debian and Ubuntu: apt install" \
                "python$("${python}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    mkdir -p "${venv}"
    touch "${unfinished}"
    "${python}" -m venv --clear "${venv}"
    touch "${unfinished}" # --clear removed it
}

install_package() {
    local pip=("${venv}/bin/python" -m pip --disable-pip-version-check)
    say "installing espnet2_caresep and what it needs (a few GB on the first run)"
    touch "${unfinished}"
    "${pip[@]}" install --progress-bar on -c "${constraints}" -e "${root}[recipe,test]"
    # tinysoundfont asks for pyaudio, which needs a compiler and PortAudio's headers and
    # only serves live playback; rendering to memory works without it.
    "${pip[@]}" install -q --no-deps -c "${constraints}" tinysoundfont
    "${venv}/bin/python" -c \
        'import espnet2, espnet2_caresep, tinysoundfont, torch' \
        || fail "the environment does not work (messages above)"
    wanted_stamp >"${stamp}.part"
    mv "${stamp}.part" "${stamp}"
    rm -f "${unfinished}"
    say "ready: ${venv}"
}

given=$(given_python)
if [ "${1:-}" = --print ]; then
    if [ -n "${given}" ]; then
        check_given "${given}"
        echo "${given}"
    elif is_ready; then
        echo "${venv}/bin/python"
    else
        fail "the environment is not ready; ${here}/setup_env.sh makes it"
    fi
elif [ -n "${given}" ]; then
    check_given "${given}"
    say "using ${given}"
elif is_ready; then
    say "using ${venv}"
else
    # Two commands that start together take turns.
    exec 9<"${root}"
    flock 9
    if is_ready; then exit 0; fi
    # An installation that was cut off may have left half a package: start over.
    if [ -e "${unfinished}" ] || ! "${venv}/bin/python" -m pip --version >/dev/null 2>&1
    then
        make_venv
    fi
    install_package
fi
