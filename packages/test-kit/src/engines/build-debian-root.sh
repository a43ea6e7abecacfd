#!/bin/sh
# Makes a Debian root file system with the tools of everyday jobs, and keeps packages beside it that jobs may install:
# build-debian-root.sh ROOT KEPT SUITE MIRROR COMPONENTS INCLUDED SERVED
set -eu
root=$1 kept=$2 suite=$3 mirror=$4 components=$5 included=$6 served=$7

# The machine's own way to the mirror is this one's, too.
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "${proxy-}" ] || export http_proxy="$proxy"

debootstrap --variant=minbase --components="$components" --include="$included" "$suite" "$root" "$mirror"

inside() { chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Languages=none "$@"; }
rm -rf "$root"/var/cache/apt/archives/*.deb
inside update
# shellcheck disable=SC2086
inside install -y --no-install-recommends --download-only $served
mkdir -p "$kept"
cp "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/python-wheels/*.whl "$kept"

# Official images leave these out, too.
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/*.log
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/locale/* "$root"/usr/share/man/* "$root"/usr/share/info/*
# Files of the machine that built the root.
rm -f "$root"/etc/resolv.conf "$root"/etc/hostname
chroot "$root" useradd --uid 1000 --create-home --shell /bin/bash builder
