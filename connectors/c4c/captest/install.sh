#!/bin/sh
# Installs what the CAP server needs into a directory of the user's cache, once
# per lock file. Needs node 20 or newer, npm, and for the SQLite binding make, a
# C++ compiler and the headers of node. Takes a minute or two of CPU.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sum=$(sha256sum "$here/package-lock.json" | cut -c1-16)
dir=${LOCKKEEPER_CAPTEST:-${XDG_CACHE_HOME:-$HOME/.cache}/lockkeeper/captest-$sum}
if [ -e "$dir/ready" ]; then
  echo "captest: $dir is ready"
  exit 0
fi
mkdir -p "$dir"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$dir/"
cd "$dir"
# Headers that came with node spare a download.
prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
if [ -e "$prefix/include/node/node_api.h" ]; then
  export npm_config_nodedir="$prefix"
fi
npm ci --ignore-scripts
npm_config_build_from_source=true npm rebuild better-sqlite3
node -e 'const D = require("better-sqlite3"); new D(":memory:").exec("select 1")'
touch ready
echo "captest: installed in $dir"
