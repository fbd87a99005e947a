#!/bin/bash
# Runs a conformance program; prints its failures, the names of what it skipped, and its last line.  The whole output goes to LOG.
# usage: run-conformance.sh LOG COMMAND...
set -uo pipefail
log=$1; shift
"$@" >"$log" 2>&1; status=$?
grep -v '^skip' "$log"
sed -n 's/^skip  \([^:]*\):.*/\1/p' "$log" | paste -sd' ' | sed 's/^/not claimed: /' | fold -s -w 160
echo "why: $log"
exit $status
