// Checks what no compiler checks: no path of somebody's machine and no package host in a file that is kept.
// usage: node scripts/check-tree.js      exits 1 and names every place
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

// Absolute folders that exist on one machine only. /usr, /etc, /tmp and /dev are part of every Debian.
const MACHINE_PATH = /(?<![A-Za-z0-9_.\-/])\/(home|root|opt|srv|mnt|work|workspace|Users)\/[A-Za-z0-9_.]/;
const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\0').filter((name) => name !== '' && existsSync(name));
const problems = [];
for (const file of files) {
  const bytes = readFileSync(file);
  if (bytes.subarray(0, 8192).includes(0)) continue; // binary
  const text = bytes.toString('utf8');
  if (file.endsWith('package-lock.json') && /"resolved":|https?:\/\//.test(text)) {
    problems.push(`${file}: holds host names; npm must run with the settings of .npmrc`);
  }
  if (file.startsWith('tests/vectors/') || file === 'LICENSE') continue; // data of others, kept as it came
  text.split('\n').forEach((line, i) => {
    if (MACHINE_PATH.test(line)) problems.push(`${file}:${i + 1}: path of one machine: ${line.trim().slice(0, 100)}`);
  });
}
for (const line of problems) console.error(line);
if (problems.length > 0) process.exit(1);
console.log(`check-tree: ${files.length} files are free of machine paths and hosts`);
