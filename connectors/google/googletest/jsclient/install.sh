#!/bin/sh
# Installs Google's clients for JavaScript into a directory of the user's
# cache, once per lock file. Needs node and npm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sum=$(sha256sum "$here/package-lock.json" | cut -c1-16)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/lockkeeper/googleclient-$sum
if [ -e "$dir/ready" ]; then
  echo "googleclient: $dir is ready"
  exit 0
fi
mkdir -p "$dir"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$dir/"
cd "$dir"
npm ci --ignore-scripts
touch ready
echo "googleclient: installed in $dir"
