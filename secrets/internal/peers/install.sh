#!/bin/sh
# Installs the OAuth server of the tests into a directory of the user's cache,
# once per lock file. Needs node 20 or newer and npm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sum=$(sha256sum "$here/package-lock.json" | cut -c1-16)
dir=${LOCKKEEPER_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/lockkeeper/peers-$sum}
if [ -e "$dir/ready" ]; then
  echo "peers: $dir is ready"
  exit 0
fi
mkdir -p "$dir"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$dir/"
cd "$dir"
npm ci --ignore-scripts --no-audit --no-fund
node --input-type=module -e 'await import("oidc-provider")' 2>/dev/null
touch ready
echo "peers: installed in $dir"
