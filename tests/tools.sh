#!/bin/sh
# Checks that programs are installed, by default those that the tests need; as root on Debian, installs missing ones.
# With CI=true a missing program is an error.
set -eu
missing=
packages=
[ $# -gt 0 ] || set -- promtool prometheus amtool chromium curl node npm systemd-analyze
for tool in "$@"; do
  command -v "$tool" >/dev/null 2>&1 && continue
  missing="$missing $tool"
  case $tool in
    promtool) packages="$packages prometheus" ;;
    amtool) packages="$packages prometheus-alertmanager" ;;
    systemd-analyze) packages="$packages systemd" ;;
    node) packages="$packages nodejs" ;;
    go) packages="$packages golang golang-github-prometheus-client-golang-dev" ;; # for bench/client_golang
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
echo "missing:$missing; on Debian: apt-get install$packages (tests that need them are skipped)" >&2
[ "${CI:-}" != true ]
