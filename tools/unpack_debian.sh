#!/bin/sh
# Unpacks programs from another Debian suite into a directory; usage: tools/unpack_debian.sh SUITE DIR PACKAGE...
#
# Nothing is installed. Mirror, proxies and keys are those of this machine's apt configuration; the system's lists, sources
# and packages are not changed. Dependencies are ignored, so the programs must be statically linked, as Go programs are.
set -eu
[ $# -ge 3 ] || { echo "usage: $0 SUITE DIR PACKAGE..." >&2; exit 2; }
suite=$1
dir=$2
shift 2

# The main Debian archive among apt's sources, without security updates and third parties.
# shellcheck disable=SC2016 # variables of apt
mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' | awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
[ -n "$mirror" ] || { echo "$0: no Debian mirror is configured for apt" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt downloads as an unprivileged user.
chmod 755 "$work"
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/packages"
chmod 777 "$work/packages"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"

apt() {
  apt-get -qq \
    -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" "$@"
}
apt update
(cd "$work/packages" && apt download "$@")
mkdir -p "$dir"
for package in "$work"/packages/*.deb; do
  dpkg-deb --extract "$package" "$dir"
done
