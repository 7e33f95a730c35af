#!/bin/sh
# Puts the native library of a released Realm SDK (realm-core 14.12.0 with its
# sync client, unmodified) into .cache/librealm/ of this repository and prints
# its path. Only tests use it: it is the client that apps ship with.
#
# It takes the library out of the Maven artifact io.realm.kotlin:cinterop-jvm:2.3.0
# with Maven; nothing is installed. Only the library for x86-64 Linux is used.
#
#   MVN      the Maven command (default mvn)
#   PYTHON   the Python command (default python3)
set -eu
version=2.3.0
artifact=io.realm.kotlin:cinterop-jvm:$version
jar_sha256=e16b915f6c21b7d96b374fb22c465f096a42f28b1129ddeaeb598a23c0749004
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/.cache/librealm/$version
lib=$dir/librealmc.so
mvn=${MVN:-mvn}

if [ -s "$lib" ]; then
	echo "$lib"
	exit 0
fi

say() { echo "fetch-librealm: $*" >&2; }

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
	say "the tests use the library for x86-64 Linux; this is $(uname -s) on $(uname -m)."
	exit 1
fi
if ! command -v "$mvn" >/dev/null 2>&1; then
	say "no Maven: apt-get install maven (or set MVN)."
	exit 1
fi

say "downloading the Maven artifact $artifact ..."
mkdir -p "$dir"
tmp=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
# get fetches into the local repository, copy takes it out. Standard output is
# kept for the path.
(
	cd "$tmp"
	"$mvn" -q -B "$plugin:get" -Dartifact="$artifact" -Dtransitive=false
	"$mvn" -q -B "$plugin:copy" -Dartifact="$artifact" -DoutputDirectory="$tmp"
) >&2
"${PYTHON:-python3}" - "$tmp/cinterop-jvm-$version.jar" "$jar_sha256" "$tmp/librealmc.so" <<'PY'
import hashlib, shutil, sys, zipfile

jar, want, target = sys.argv[1:]
got = hashlib.sha256(open(jar, "rb").read()).hexdigest()
if got != want:
    sys.exit(f"fetch-librealm: the artifact's SHA-256 is {got}, want {want}: not using it")
with zipfile.ZipFile(jar) as z, z.open("jni/linux/librealmc.so") as src, open(target, "wb") as dst:
    shutil.copyfileobj(src, dst)
PY
mv "$tmp/librealmc.so" "$lib"
say "the library is in $dir"
echo "$lib"
