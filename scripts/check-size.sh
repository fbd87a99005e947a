#!/bin/bash
# Prints the size of a wasm file and fails when it is above its budget: the line "COMPILER NAME BYTES BROTLI-BYTES" of the budget file.
# usage: check-size.sh FILE BUDGET_FILE COMPILER
set -euo pipefail
name=$(basename "$1")
read -r raw_budget brotli_budget < <(awk -v cc="$3" -v name="$name" '$1 == cc && $2 == name {print $3, $4}' "$2")
size=$(stat -c %s "$1")
brotli=$(node -e "const z = require('zlib'); console.log(z.brotliCompressSync(require('fs').readFileSync(process.argv[1])).length)" "$1")
echo "$1: $size bytes raw (budget $raw_budget), $brotli brotli (budget $brotli_budget)"
if [ "$size" -gt "$raw_budget" ] || [ "$brotli" -gt "$brotli_budget" ]; then echo "$1 is above its size budget; see $2" >&2; exit 1; fi
