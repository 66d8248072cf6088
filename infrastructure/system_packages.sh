#!/bin/sh
# Install what pip cannot bring (`make system-packages`): wrk, the load generator of `make bench`.
#
# Nothing else needs it, so a machine where it cannot be installed is told so and goes on.
set -eu

if command -v wrk > /dev/null; then
    echo "draft: wrk is installed"
elif [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
    apt-get install --yes --no-install-recommends wrk > /dev/null ||
        { apt-get update > /dev/null && apt-get install --yes --no-install-recommends wrk; } ||
        echo "draft: WARNING: wrk could not be installed, so \`make bench\` will not run" >&2
else
    echo "draft: WARNING: wrk is missing and can only be installed by root with apt-get;" >&2
    echo "draft: WARNING: install it with your package manager, or do without \`make bench\`" >&2
fi
