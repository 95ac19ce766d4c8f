# Where ESC-50 lies: the folder that holds audio/ and meta/. The environment variable of
# the same name comes first.
# shellcheck shell=bash
ESC50=${ESC50:-}
