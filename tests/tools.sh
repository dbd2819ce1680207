#!/bin/sh
# Finds the tools that are no Python packages, those of the tests or those that are named, or installs them where this is
# root on Debian.
# Under CI=true a missing tool is a failure.
set -eu
missing=
packages=
[ $# -gt 0 ] || set -- promtool prometheus amtool chromium curl node npm
for tool in "$@"; do
  command -v "$tool" >/dev/null 2>&1 && continue
  missing="$missing $tool"
  case $tool in
    promtool) packages="$packages prometheus" ;;
    amtool) packages="$packages prometheus-alertmanager" ;;
    node) packages="$packages nodejs" ;;
    go) packages="$packages golang golang-github-prometheus-client-golang-dev" ;; # what bench/client_golang is built of
    bwrap) packages="$packages bubblewrap" ;;
    setpriv | nsenter) packages="$packages util-linux" ;;
    *) packages="$packages $tool" ;;
  esac
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  # shellcheck disable=SC2086 # a list of names
  apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages >/dev/null
  exit 0
fi
echo "missing:$missing; on Debian: apt-get install$packages (what needs them is left out without)" >&2
[ "${CI:-}" != true ]
