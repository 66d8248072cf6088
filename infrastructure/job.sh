#!/bin/sh
# What a training job runs: `make data`, then `make train`, with the variables of its environment.
#
# make ends with 2 whatever its recipe ended with, and whoever started the job must see the 75 of an
# interruption to start it again: so the last step is the line that make would run.
set -eu

cd "$(dirname "$0")/.."
make --no-print-directory data
line=$(make --no-print-directory --dry-run train)
eval "exec $line"
