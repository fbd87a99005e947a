#!/bin/bash
# Runs test programs, some at a time, and prints the summary of each (all it said, when it failed or VERBOSE=1).
# usage: run-all.sh PARALLEL SECONDS_EACH LOGDIR PROGRAM...      exits 1 when any program failed
set -uo pipefail
parallel=$1; seconds=$2; logs=$3; shift 3
if [ $# -eq 0 ]; then exit 0; fi
mkdir -p "$logs"
export logs seconds
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
printf '%s\n' "$@" | xargs -P "$parallel" -I{} bash -c \
  'n=$(basename "{}"); timeout "$seconds" "{}" >"$logs/$n.log" 2>&1; echo $? >"$logs/$n.rc"'
failed=()
for program in "$@"; do
  name=$(basename "$program")
  rc=$(cat "$logs/$name.rc")
  if [ "$rc" -eq 0 ] && [ -z "${VERBOSE:-}" ]; then
    echo "$name"; grep -E '^\[(={10}|  PASSED  )\].* (run|test\(s\))\.' "$logs/$name.log" || tail -1 "$logs/$name.log"
    continue
  fi
  echo "---- $name (exit $rc)"; cat "$logs/$name.log"
  if [ "$rc" -ne 0 ]; then failed+=("$name"); fi
done
if [ ${#failed[@]} -ne 0 ]; then echo "FAILED: ${failed[*]}"; exit 1; fi
