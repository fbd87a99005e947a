#!/bin/bash
# Makes a recent Emscripten available and prints the path of its emcc on the last line of standard output.
#
# 1. an emcc >= 3.1.60 that is on the PATH is used as it is;
# 2. else one that this script unpacked before, in EMSCRIPTEN_PREFIX (default: the user's cache folder);
# 3. else, on a Debian whose own package is recent enough, that package is installed by apt;
# 4. else (Debian 12) the next suite's Emscripten 3.1.69 and Binaryen 120 are unpacked into the prefix, without touching
#    the system, and driven by Debian 12's clang-19.
# Steps 3 and 4 need root once.  Takes about 30 s and 520 MB.
set -euo pipefail
prefix=$(realpath -m "${EMSCRIPTEN_PREFIX:-${XDG_CACHE_HOME:-$HOME/.cache}/bb-wasm/emscripten-3.1.69}")
suite=trixie
versions=(emscripten=3.1.69+dfsg-3 binaryen=120-4 node-acorn)
say() { echo "$*" >&2; }
recent() { # is this emcc there, does it start, is it 3.1.60 or later?
  local version; version=$("$1" --version 2>/dev/null | sed -n '1s/.* \([0-9]*\.[0-9]*\.[0-9]*\).*/\1/p') || return 1
  [ -n "$version" ] && [ "$(printf '%s\n' 3.1.60 "$version" | sort -V | head -1)" = 3.1.60 ]
}
if command -v emcc >/dev/null && recent emcc; then command -v emcc; exit 0; fi
if [ -x "$prefix/bin/emcc" ] && recent "$prefix/bin/emcc"; then echo "$prefix/bin/emcc"; exit 0; fi
if [ "$(id -u)" -ne 0 ]; then say "setup-emscripten.sh: no emcc >= 3.1.60 on the PATH; install one, or run this once as root, or use WASM_CC=clang"; exit 1; fi

mkdir -p "$(dirname "$prefix")"
exec 9>"$prefix.lock"; flock 9 # two builds at once: the second one finds the work done
if [ -x "$prefix/bin/emcc" ] && recent "$prefix/bin/emcc"; then echo "$prefix/bin/emcc"; exit 0; fi
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
if [ "$codename" != bookworm ]; then
  say "installing the system's emscripten package"
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends emscripten >/dev/null
  recent emcc || { say "setup-emscripten.sh: this system's emscripten is too old; use WASM_CC=clang"; exit 1; }
  command -v emcc; exit 0
fi

say "unpacking Emscripten 3.1.69 into $prefix (about 30 s)"
scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT; chmod 755 "$scratch"
if ! command -v clang-19 >/dev/null || ! command -v wasm-ld-19 >/dev/null || ! command -v llvm-ar-19 >/dev/null; then
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clang-19 lld-19 llvm-19 >/dev/null
fi
# A private apt world for the newer suite: the system's sources, lists and package status are not touched.
mkdir -p "$scratch"/{lists/partial,cache/archives/partial,parts,dl}; : >"$scratch/status"
mirror() { apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' | awk '$2=="bookworm"{print $1; exit}'; }
site=$(mirror); if [ -z "$site" ]; then apt-get -qq update >&2; site=$(mirror); fi
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$site" $suite >"$scratch/sources.list"
apt=(apt-get -qq -o Dir::Etc::sourcelist="$scratch/sources.list" -o Dir::Etc::sourceparts="$scratch/parts" -o Dir::Etc::preferences=/dev/null
  -o Dir::Etc::preferencesparts="$scratch/parts" -o Dir::State::lists="$scratch/lists" -o Dir::State::status="$scratch/status"
  -o Dir::Cache="$scratch/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root)
"${apt[@]}" update >&2
(cd "$scratch/dl" && "${apt[@]}" download "${versions[@]}" libc6 libstdc++6 libgcc-s1 >&2)

rm -rf "$prefix"; mkdir -p "$prefix/bin" "$prefix/bt/bin"
lib=./usr/share/emscripten/cache/sysroot/lib/wasm32-emscripten
exclude=(--exclude="$lib/pic" --exclude="$lib/lto-pic" --exclude='*/libGL-*emu*' --exclude='*/libGL-*webgl2*' --exclude='*/libGL-*ofb*'
  --exclude='*/libGL-*full_es3*' --exclude='*/libwasmfs*' --exclude='*/libasmfs*' --exclude='*/libembind*' --exclude='*-ww-*asan*'
  --exclude='./usr/share/emscripten/test' --exclude='./usr/share/doc' --exclude='./usr/share/man')
for file in "$scratch"/dl/*.deb; do
  case $file in
  */libc6_* | */libstdc* | */libgcc*) dpkg-deb --fsys-tarfile "$file" | tar -x -C "$prefix" --wildcards './usr/lib/*' ;;
  *) dpkg-deb --fsys-tarfile "$file" | tar -x -C "$prefix" "${exclude[@]}" ;;
  esac
done
# Binaryen's programs want the newer suite's glibc: start them through that glibc's own loader.
libs=$prefix/usr/lib/x86_64-linux-gnu
for tool in "$prefix"/usr/bin/wasm*; do
  printf '#!/bin/sh\nexec %s/ld-linux-x86-64.so.2 --library-path %s %s "$@"\n' "$libs" "$libs" "$tool" >"$prefix/bt/bin/${tool##*/}"
  chmod +x "$prefix/bt/bin/${tool##*/}"
done
# acorn where an ES module import finds it.
mkdir "$prefix/usr/share/emscripten/node_modules"; ln -s ../../nodejs/acorn "$prefix/usr/share/emscripten/node_modules/acorn"
cat >"$prefix/emscripten-config.py" <<C
EMSCRIPTEN_ROOT = '$prefix/usr/share/emscripten'
LLVM_ROOT = '/usr/bin'
BINARYEN_ROOT = '$prefix/bt'
NODE_JS = '$(command -v node)'
JAVA = 'java'
FROZEN_CACHE = True
CLOSURE_COMPILER = 'closure-compiler'
LLVM_ADD_VERSION = '19'
CLANG_ADD_VERSION = '19'
C
for tool in emcc emar emranlib; do
  printf '#!/bin/sh\nEM_CONFIG=%s/emscripten-config.py exec %s/usr/share/emscripten/%s "$@"\n' "$prefix" "$prefix" $tool >"$prefix/bin/$tool"
  chmod +x "$prefix/bin/$tool"
done
recent "$prefix/bin/emcc" || { say "setup-emscripten.sh: the unpacked emcc does not start"; rm -rf "$prefix"; exit 1; }
echo "$prefix/bin/emcc"
