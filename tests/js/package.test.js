// The package as a user gets it: what is in the tarball, and the README's program in a folder that has nothing else.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

const run = (command, args, cwd) => execFileSync(command, args, { cwd, encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'pipe'] });
const jsFiles = readdirSync('js', { recursive: true }).filter((name) => name.endsWith('.js'));

test('the tarball holds the JavaScript, the wasm, the declarations and the texts, and runs the README in an empty folder', { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'bb-wasm-'));
  try {
    const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], '.'));
    const got = files.map(({ path }) => path).sort();
    const want = [
      'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', 'build/wasm/bb.wasm', 'build/wasm/bb-relaxed.wasm', 'build/wasm/bb-infer.wasm', 'build/wasm/bb-engine.wasm', 'build/wasm/bb-sim.wasm', ...readdirSync('docs').map((name) => `docs/${name}`),
      ...jsFiles.map((name) => `js/${name}`), ...jsFiles.map((name) => `build/types/${name.replace(/\.js$/, '.d.ts')}`),
    ].sort();
    assert.deepEqual(got, want);

    /** Files that the exports map names, whatever the condition. */
    const named = (entry) => (typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(named));
    for (const path of named(JSON.parse(readFileSync('package.json', 'utf8')).exports)) assert.ok(got.includes(path.slice(2)), `${path} is in the tarball`);

    writeFileSync(join(folder, 'package.json'), '{"private": true, "type": "module"}');
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--cache', join(folder, 'cache'), join(folder, filename)], folder);
    assert.deepEqual(readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.')), ['bb-wasm'], 'nothing else is installed');
    const [, code] = /```js\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8'));
    writeFileSync(join(folder, 'example.js'), code);
    assert.equal(run(process.execPath, ['example.js'], folder), 'scores: 97 bytes\n');
    assert.match(run(join(folder, 'node_modules', '.bin', 'bb'), ['sim', '--seed', '3'], folder), /^3 \w+ nodes=\d+ .* ok\s*$/, 'the simulator runs from the package');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
