#!/usr/bin/env bash
# Downloads Debian packages without root: fetch_packages.sh DIR PACKAGE...
# Nothing is installed. A package that is already in DIR is not fetched again; one that
# cannot be had is named and left out, and what is there decides in the end.

set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 DIR PACKAGE..." >&2
    exit 2
fi
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift

have() { compgen -G "${dir}/$1_*.deb" >/dev/null; }

missing=()
for package in "$@"; do
    have "${package}" || missing+=("${package}")
done
echo "$(($# - ${#missing[@]})) of $# packages are here already"
[ ${#missing[@]} -eq 0 ] && exit 0

for tool in apt-get dpkg-deb; do
    if ! command -v "${tool}" >/dev/null; then
        echo "${tool} is not here: this corpus comes from Debian or Ubuntu packages." \
             "Put the .deb files of ${missing[*]} into ${dir} by hand" >&2
        exit 2
    fi
done

# Downloads happen in a folder of their own, so that half a package is never mistaken
# for a whole one. The empty sandbox user keeps apt from switching to a user that may
# not write here.
part="${dir}/.part"
rm -rf "${part}"
mkdir -p "${part}"
trap 'rm -rf "${part}"' EXIT
apt=(apt-get -o APT::Sandbox::User=)

download() { # download PACKAGE: fetch, check, move into place
    (cd "${part}" && "${apt[@]}" download "$1") || return 1
    local deb
    for deb in "${part}/$1"_*.deb; do
        dpkg-deb --info "${deb}" >/dev/null 2>&1 || { rm -f "${deb}"; return 1; }
        # apt writes an epoch as %3a, which is fine for a name here
        mv "${deb}" "${dir}/"
    done
}

# Lists of our own: the machine's may be empty or so old that the packages are gone.
use_own_lists() {
    local lists="${dir}/../apt"
    mkdir -p "${lists}"/{lists,archives}/partial
    lists=$(cd "${lists}" && pwd)
    apt+=(-o "Dir::State::Lists=${lists}/lists" -o "Dir::Cache=${lists}"
          -o "Dir::Cache::archives=${lists}/archives")
    echo "Reading fresh package lists (into ${lists}; the machine's stay as they are)"
    "${apt[@]}" update || echo "apt-get update failed; going on with what it has" >&2
}

own_lists=false
count=0
failed=()
for package in "${missing[@]}"; do
    count=$((count + 1))
    echo "[${count}/${#missing[@]}] ${package}"
    if download "${package}"; then continue; fi
    if ! ${own_lists}; then
        use_own_lists
        own_lists=true
    fi
    for pause in 0 2 5; do
        sleep "${pause}"
        if download "${package}"; then continue 2; fi
    done
    failed+=("${package}")
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "Could not be downloaded: ${failed[*]}" \
         "(apt's messages are above; is the network reachable?)" >&2
fi
