#!/bin/bash
# Runs libFuzzer targets, two at a time, each over its seeds.  New inputs stay below the build folder.
# One number of the generator gives one walk, so that a commit has one answer; 0 explores: another walk each time, from all that earlier ones found.
# usage: run-fuzz.sh SECONDS GENERATOR FUZZDIR TARGET...      exits 1 when any target found something
set -uo pipefail
seconds=$1; generator=$2; dir=$3; shift 3
if [ $# -eq 0 ]; then exit 0; fi
node scripts/make-fuzz-seeds.js "$dir/seeds" || exit 1
export seconds generator dir
one() {
  local target=$1 name; name=$(basename "$target"); name=${name#fuzz_}
  [ "$generator" -eq 0 ] || rm -rf "$dir/corpus/$name"
  mkdir -p "$dir/corpus/$name" "$dir/seeds/$name" "$dir/crash/$name"
  local seeds=("$dir/seeds/$name"); [ -d "tests/fuzz/corpus/$name" ] && seeds+=("tests/fuzz/corpus/$name")
  timeout $((seconds + 60)) "$target" -seed="$generator" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=0 \
    -artifact_prefix="$dir/crash/$name/" "$dir/corpus/$name" "${seeds[@]}" >"$dir/$name.log" 2>&1
  echo $? >"$dir/$name.rc"
}
export -f one
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1}
printf '%s\n' "$@" | xargs -P 2 -I{} bash -c 'one {}'
failed=()
for target in "$@"; do
  name=$(basename "$target"); name=${name#fuzz_}
  if [ "$(cat "$dir/$name.rc")" -ne 0 ]; then failed+=("$name"); tail -40 "$dir/$name.log"; fi
  echo "fuzz_$name"; tail -1 "$dir/$name.log"
done
if [ ${#failed[@]} -ne 0 ]; then echo "FAILED: ${failed[*]}"; exit 1; fi
