// The demo from start to goal: how long, how well, how many bytes.  One JSON line per figure.
import { execFileSync } from 'node:child_process';

const out = execFileSync(process.execPath, ['demo/main.js'], { encoding: 'utf8', env: { ...process.env, ONCE: '1' }, timeout: 90_000 });
const { accuracy, rounds, seconds, bytes } = JSON.parse(out.trim().split('\n').at(-1));
const put = (name, value, unit) => console.log(JSON.stringify({ name, value: Number(value.toPrecision(5)), unit }));
put('demo.accuracy', accuracy, 'of 1');
put('demo.rounds', rounds, 'rounds');
put('demo.seconds', seconds, 's');
put('demo.bytes', bytes, 'bytes');
