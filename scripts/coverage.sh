#!/bin/bash
# Usage: coverage.sh FOLDER TEST...   The profiles of the tests in FOLDER, as a table of rooms and a list of lines that no test reaches.
set -euo pipefail
dir=$1
shift
llvm-profdata merge -sparse "$dir"/*.profraw -o "$dir/all.profdata"
rm -f "$dir"/*.profraw
objects=("$1")
shift
for test in "$@"; do objects+=(-object "$test"); done
llvm-cov export -format=text -skip-expansions -instr-profile="$dir/all.profdata" "${objects[@]}" "$PWD"/src/*/*.c >"$dir/coverage.json"
llvm-cov show -instr-profile="$dir/all.profdata" "${objects[@]}" "$PWD"/src/*/*.c 2>/dev/null | grep -E '^/|^ +[0-9]+\| +0\|' >"$dir/uncovered.txt" || true
node - "$dir/coverage.json" <<'EOF'
const { readFileSync } = require('node:fs');
const rooms = new Map();
for (const file of JSON.parse(readFileSync(process.argv[2], 'utf8')).data[0].files) {
  const room = /src\/([^/]+)\//.exec(file.filename)[1];
  const sum = rooms.get(room) ?? { lines: [0, 0], branches: [0, 0] };
  for (const kind of ['lines', 'branches']) {
    sum[kind][0] += file.summary[kind].covered;
    sum[kind][1] += file.summary[kind].count;
  }
  rooms.set(room, sum);
}
const share = ([covered, count]) => `${count === 0 ? '-' : ((100 * covered) / count).toFixed(1)} %`.padStart(8);
console.log('room'.padEnd(12), '   lines', 'branches');
for (const [room, sum] of rooms) console.log(room.padEnd(12), share(sum.lines), share(sum.branches));
EOF
echo "lines that no test reaches: $dir/uncovered.txt"
