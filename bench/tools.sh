#!/bin/sh
# Finds what the benchmarks want besides the tests' tools, or installs it where this is root on Debian. Without it the
# rows that need it are left out, and the report says so.
set -eu
packages=
command -v go >/dev/null 2>&1 || packages="$packages golang"
[ -d /usr/share/gocode/src/github.com/prometheus/client_golang ] ||
  packages="$packages golang-github-prometheus-client-golang-dev"
command -v prometheus >/dev/null 2>&1 || packages="$packages prometheus"
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing for the benchmarks:$packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  # shellcheck disable=SC2086 # a list of names
  apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages >/dev/null
  exit 0
fi
echo "missing:$packages; on Debian: apt-get install$packages" >&2
