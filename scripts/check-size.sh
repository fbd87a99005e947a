#!/bin/bash
# Prints the size of a wasm file and fails when it is above the budget (first number in the budget file, in bytes).
# usage: check-size.sh FILE BUDGET_FILE
set -euo pipefail
size=$(stat -c %s "$1")
budget=$(grep -oE '^[0-9]+' "$2" | head -1)
echo "$1: $size bytes raw, $(gzip -9c "$1" | wc -c) gzip (budget $budget raw)"
if [ "$size" -gt "$budget" ]; then echo "$1 is above its size budget; see $2" >&2; exit 1; fi
