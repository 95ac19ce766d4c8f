# Where AudioSet lies (README.md says in what form). The environment variable of the same
# name comes first.
# shellcheck shell=bash
AUDIOSET=${AUDIOSET:-}
