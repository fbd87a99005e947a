// The example of the README is run as it stands there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';

test('the example of the README runs and prints what it should', () => {
  const [, code] = /```js\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8'));
  assert.ok(code.split('\n').length < 30, 'the example is short');
  // Below the package's own folder, so that "bb-wasm" is found through its own exports map.
  mkdirSync('build/readme', { recursive: true });
  writeFileSync('build/readme/example.mjs', code);
  const out = execFileSync(process.execPath, ['build/readme/example.mjs'], { encoding: 'utf8', timeout: 20_000 });
  assert.equal(out, 'scores: 97 bytes\n'); // version, rank and 2 dims, count and 10 floats, rank and 2 dims
});

test('the program about training runs, and what it trained is exported', () => {
  const [, code] = /## Data and training[\s\S]*?```js\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8'));
  const start = `import { denseNetwork } from 'bb-wasm';
    const onnx = denseNetwork([2, 8, 2], { seed: 1 });
    const text = 'width,height,kind\\n' + Array.from({ length: 200 }, (_, i) => { const [w, h] = [(i * 37) % 101, (i * 61) % 97]; return \`\${w / 100},\${h / 100},\${w > h ? 'flat' : 'tall'}\`; }).join('\\n');\n`;
  mkdirSync('build/readme', { recursive: true });
  writeFileSync('build/readme/training.mjs', `${start}${code}console.log(session.outputs.length);`);
  const lines = execFileSync(process.execPath, ['build/readme/training.mjs'], { encoding: 'utf8', timeout: 20_000 }).trim().split('\n');
  assert.equal(lines.length, 32);
  assert.match(lines[29], /^epoch 29: loss 0\.\d+$/);
  const [, accuracy] = /^\{ accuracy: ([\d.]+) \}$/.exec(lines[30]);
  assert.ok(Number(accuracy) > 0.9, lines[30]);
  assert.equal(lines[31], '1');
});

test('every JavaScript entry of the package can be imported by its name', async () => {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
  const names = Object.keys(exports).filter((name) => !/\.(wasm|json)$/.test(name)).map((name) => name.replace(/^\./, 'bb-wasm'));
  assert.ok(names.length >= 4);
  for (const name of names) assert.ok(Object.keys(await import(name)).length > 0, name);
});
