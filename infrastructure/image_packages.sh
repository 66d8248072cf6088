#!/bin/sh
# Install what `make test-images` builds and runs images with (`make image-packages`), about 200 MB.
#
# podman and runc build and run containers, catatonit keeps a pod, the plugins and iptables connect
# it; mmdebstrap makes a base image where none can be pulled. `make image` needs only the first, or
# Docker instead.
set -eu

packages="podman runc catatonit containernetworking-plugins iptables mmdebstrap"

missing=
for package in $packages; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2> /dev/null |
        grep -qx installed || missing="$missing $package"
done 2> /dev/null
if [ -z "$missing" ]; then
    echo "draft: $packages are installed"
elif [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
    echo "draft: installing$missing"
    # Words are meant to be split.
    # shellcheck disable=SC2086
    apt-get install --yes --no-install-recommends $missing > /dev/null ||
        { apt-get update > /dev/null &&
            apt-get install --yes --no-install-recommends $missing > /dev/null; } ||
        echo "draft: WARNING:$missing could not be installed, so images are not tested" >&2
else
    echo "draft: WARNING: missing and only to be installed by root with apt-get:$missing" >&2
    echo "draft: WARNING: install them with your package manager, or do without images" >&2
fi
