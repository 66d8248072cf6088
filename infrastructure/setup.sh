#!/bin/sh
# Make the virtual environment in $1 with everything in config/requirements/dev.txt (`make setup`).
#
# PYTHON names the Python to use; otherwise python3.11, or a python3 that is new enough.
# pip's own settings (PIP_EXTRA_INDEX_URL, PIP_CACHE_DIR, …) hold as usual.
set -eu

venv=$1
requirements=config/requirements/dev.txt
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

fail() {
    echo "draft: $*" >&2
    exit 1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" -c "$new_enough" 2> /dev/null ||
            fail "PYTHON is '$PYTHON', which is no Python 3.11 or newer"
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3 python3.12 python3.13; do
        # Run it, too: pyenv's shims exist for versions that are not selected.
        if "$candidate" -c "$new_enough" 2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "there is no Python 3.11 or newer on the PATH: install one, or set PYTHON to it"
}

if ! "$venv/bin/python" -c "$new_enough" 2> /dev/null; then
    python=$(find_python)
    echo "draft: making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" ||
        fail "$python cannot make virtual environments: install its venv module (python3-venv)"
fi
echo "draft: installing the packages of $requirements (minutes the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$requirements" --constraint config/requirements/constraints.txt ||
    fail "the packages in $requirements could not be installed: pip's message is above"
