// The command line of the package: the simulator in WebAssembly.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';

const bb = (...args) => spawnSync(process.execPath, ['js/bin/bb.js', ...args], { encoding: 'utf8', timeout: 60_000 });

test('bb sim runs seeds, a line each, and the same seed gives the same line', () => {
  const first = bb('sim', '--from', '1', '--seeds', '20');
  assert.equal(first.status, 0, first.stdout + first.stderr);
  const lines = first.stdout.trim().split('\n');
  assert.equal(lines.length, 21);
  lines.slice(0, 20).forEach((line, i) => assert.match(line, new RegExp(`^${i + 1} (storm|join|fedavg|gossip|churn) nodes=\\d+ events=\\d+ delivered=\\d+ faults=\\d+ lies=\\d+ hash=[0-9a-f]{16} ok\\s*$`)));
  assert.match(lines[20], /^seeds=20 from=1 failed=0 /);
  assert.equal(new Set(lines.slice(0, 20).map((line) => /hash=(\w+)/.exec(line)[1])).size, 20, 'each seed is a run of its own');
  assert.equal(bb('sim', '--seed', '7').stdout, `${lines[6]}\n`);
});

test('--trace says what happens and changes nothing', () => {
  const plain = bb('sim', '--seed', '2').stdout;
  const { stdout, status } = bb('sim', '--seed', '2', '--trace');
  assert.equal(status, 0);
  assert.ok(stdout.endsWith(plain));
  assert.match(stdout, /0\.000000 n0 +installed/);
  assert.match(stdout, /all faults are over/);
  assert.match(stdout, /n\d+ +gets \d+ bytes from n\d+, request \d+/);
});

test('each scenario runs by name, with as many Nodes as asked for', () => {
  for (const scenario of ['storm', 'join', 'fedavg', 'gossip', 'churn']) {
    const { stdout, status } = bb('sim', '--seed', '9', '--scenario', scenario, '--nodes', '6', '--twice');
    assert.equal(status, 0, stdout);
    assert.match(stdout, new RegExp(`^9 ${scenario} nodes=6 `));
  }
});

test('what is not understood is said', () => {
  for (const args of [['sim', '--seed'], ['sim', '--seed', 'x'], ['sim', '--scenario', 'none'], ['sim', '--nodes', '1'], ['sim', 'more']]) {
    const { status, stderr } = bb(...args);
    assert.equal(status, 2, args.join(' '));
    assert.match(stderr, /is not understood/);
  }
  assert.equal(bb('what').status, 2);
  assert.match(bb('--help').stdout, /^usage: bb sim/);
  assert.equal(bb('sim', '--help').status, 0);
});
