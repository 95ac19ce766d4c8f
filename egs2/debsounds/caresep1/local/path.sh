# shellcheck shell=bash
# An ESPnet checkout's path.sh reads this file last; debsounds has nothing to set.
