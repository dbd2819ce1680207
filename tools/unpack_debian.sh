#!/bin/sh
# Unpacks programs of another Debian suite into a directory; usage: tools/unpack_debian.sh SUITE DIR PACKAGE...
#
# Nothing is installed. The mirror, proxies and keys are those that apt is configured with on this machine; the system's
# own lists, sources and packages stay as they are. Dependencies are not followed: the
# programs have to be statically linked, as Go's are.
set -eu
[ $# -ge 3 ] || { echo "usage: $0 SUITE DIR PACKAGE..." >&2; exit 2; }
suite=$1
dir=$2
shift 2

# Of all that apt downloads from, the archive that holds the suites of Debian itself: not security, not third parties.
# shellcheck disable=SC2016 # apt fills them in
mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' | awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
[ -n "$mirror" ] || { echo "$0: apt knows no mirror of Debian" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt downloads as a user of its own.
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
