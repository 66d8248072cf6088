#!/bin/sh
# Install what pip cannot bring (`make system-packages`): nginx, which is the gateway, and wrk, the
# load generator of `make bench`.
#
# A machine where they cannot be installed is told what does without them, and goes on.
set -eu

install() { # package, program, what needs it
    if [ -n "$(PATH="$PATH:/usr/sbin" command -v "$2")" ]; then
        echo "draft: $2 is installed"
    elif [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
        apt-get install --yes --no-install-recommends "$1" > /dev/null ||
            { apt-get update > /dev/null && apt-get install --yes --no-install-recommends "$1"; } ||
            echo "draft: WARNING: $1 could not be installed, so $3 will not run" >&2
    else
        echo "draft: WARNING: $2 is missing and can only be installed by root with apt-get;" >&2
        echo "draft: WARNING: install it with your package manager, or do without $3" >&2
    fi
}

install nginx-light nginx "the gateway (\`make up\`)"
install wrk wrk "\`make bench\`"
