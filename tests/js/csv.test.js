// Tables of text: what is a row, what is a value, and which line says why not.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createLoader, createRandom, csvRows, fromCsv, readAll } from '../../js/data/index.js';

const code = (name, details = {}) => (error) => {
  assert.equal(error.code, name, error.stack);
  for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, key);
  return true;
};
const utf8 = (text) => new TextEncoder().encode(text);
const collect = async (rows) => { const all = []; for await (const row of rows) all.push(row); return all; };
const fieldsOf = async (source, options) => (await collect(csvRows(source, options))).map(({ fields }) => fields);

const TEXTS = [
  ['plain', 'a,b\n1,2\n', [['a', 'b'], ['1', '2']]],
  ['no line end at the end', 'a,b\n1,2', [['a', 'b'], ['1', '2']]],
  ['line ends of Windows', 'a,b\r\n1,2\r\n', [['a', 'b'], ['1', '2']]],
  ['line ends of old Macs', 'a,b\r1,2\r', [['a', 'b'], ['1', '2']]],
  ['empty lines', '\n\na,b\r\n\r\n1,2\n\n', [['a', 'b'], ['1', '2']]],
  ['empty fields', ',\na,\n,b\n', [['', ''], ['a', ''], ['', 'b']]],
  ['one empty field in quotes', '""\n', [['']]],
  ['quoted delimiters, quotes and line ends', '"a,b","say ""hi""","two\r\nlines"\n', [['a,b', 'say "hi"', 'two\r\nlines']]],
  ['quotes around nothing, and around quotes', '"",""""\n', [['', '"']]],
  ['a byte order mark', '\ufeffa,b\n', [['a', 'b']]],
  ['spaces are kept', ' a , b \n', [[' a ', ' b ']]],
  ['letters of any kind', 'größe,日本,😀\n', [['größe', '日本', '😀']]],
  ['nothing', '', []],
  ['only line ends', '\n\r\n', []],
];

test('text becomes rows, whole, as bytes, and cut at every place', async () => {
  for (const [name, text, want] of TEXTS) {
    assert.deepEqual(await fieldsOf(text), want, name);
    assert.deepEqual(await fieldsOf(utf8(text)), want, name);
    for (let cut = 1; cut < text.length; cut++) assert.deepEqual(await fieldsOf([text.slice(0, cut), text.slice(cut)]), want, `${name}, cut at ${cut}`);
    assert.deepEqual(await fieldsOf([...utf8(text)].map((byte) => Uint8Array.of(byte))), want, `${name}, byte by byte`);
  }
});

test('rows come from blobs and streams too; other delimiters', async () => {
  const text = 'a;b\n"1;2";3\n', want = [['a', 'b'], ['1;2', '3']], options = { delimiter: ';' };
  assert.deepEqual(await fieldsOf(new Blob([text]), options), want);
  assert.deepEqual(await fieldsOf(new Blob([text]).stream(), options), want);
  for (const delimiter of ['\t', '|', '^', '\\', ']', '-', '.']) assert.deepEqual(await fieldsOf(`a${delimiter}b\n`, { delimiter }), [['a', 'b']], delimiter);
  for (const delimiter of ['', ',,', '"', '\n', 5]) await assert.rejects(fieldsOf('a', { delimiter }), code('E_ARG'));
  for (const source of [undefined, null, 5, {}, [5]]) await assert.rejects(fieldsOf(source), code('E_ARG'));
  // A stream without an async iterator, as some browsers have it, is read by its reader and cancelled when the loop is left.
  let cancelled = 0;
  const pieces = [utf8('a\nb\n'), utf8('c\n')];
  const stream = { getReader: () => ({ read: async () => ({ done: pieces.length === 0, value: pieces.shift() }), cancel: async () => { cancelled++; }, releaseLock() {} }) };
  for await (const { fields } of csvRows(stream)) { assert.deepEqual(fields, ['a']); break; }
  assert.equal(cancelled, 1);
});

test('a row knows the line where it begins, over quoted line ends of all kinds', async () => {
  const text = 'a\n"1\n2\r\n3"\r\n\r\nb\rc\n';
  for (let cut = 0; cut < text.length; cut++) {
    assert.deepEqual((await collect(csvRows([text.slice(0, cut), text.slice(cut)]))).map(({ line }) => line), [1, 2, 6, 7], `cut at ${cut}`);
  }
});

test('what is not CSV is refused with its line', async () => {
  const cases = [
    ['a\nb"c\n', 'E_INVALID_VALUE', { line: 2 }], ['a\n"b"c\n', 'E_INVALID_VALUE', { line: 2 }], ['a\n"b" ,c\n', 'E_INVALID_VALUE', { line: 2 }],
    ['a\n\n"b\nc\n', 'E_INVALID_VALUE', { openedIn: 3, line: 5 }],
  ];
  for (const [text, name, details] of cases) {
    await assert.rejects(fieldsOf(text), code(name, details), text);
    for (let cut = 1; cut < text.length; cut++) await assert.rejects(fieldsOf([text.slice(0, cut), text.slice(cut)]), code(name, details));
  }
  await assert.rejects(fieldsOf(`a\n${'x'.repeat(100)}\n`, { fieldCharsMax: 99 }), code('E_LIMIT', { line: 2, cap: 99 }));
  await assert.rejects(fieldsOf(['"', ...Array(50).fill('xxx')], { fieldCharsMax: 99 }), code('E_LIMIT', { cap: 99 }));
  await assert.rejects(fieldsOf('a,b,c\n', { fieldsMax: 2 }), code('E_LIMIT', { cap: 2 }));
  await assert.rejects(fieldsOf(Uint8Array.of(97, 10, 0xff, 10)), code('E_UTF8'));
  await assert.rejects(fieldsOf(Uint8Array.of(97, 10, 0xc3)), code('E_UTF8'));
  const controller = new AbortController();
  controller.abort(new Error('enough'));
  await assert.rejects(fieldsOf('a', { signal: controller.signal }), /enough/);
});

test('any table that is written by the rules is read back, however it is cut', async () => {
  const random = createRandom(17), pieces = ['a', 'ß', ',', '"', '\n', '\r\n', '\r', ' ', '😀', '1.5', ';', ''];
  for (let n = 0; n < 300; n++) {
    const columns = 1 + random.below(4), table = Array.from({ length: 1 + random.below(5) }, () => Array.from({ length: columns }, () => Array.from({ length: random.below(4) }, () => pieces[random.below(pieces.length)]).join('')));
    const end = ['\n', '\r\n', '\r'][random.below(3)];
    const write = (field) => (field === '' || /[",\r\n]/.test(field) || random.next() < 0.2 ? `"${field.replaceAll('"', '""')}"` : field);
    const text = table.map((row) => row.map(write).join(',')).join(end) + (random.next() < 0.5 ? end : '');
    const bytes = utf8(text), cuts = [0, ...Array.from({ length: random.below(4) }, () => random.below(bytes.length + 1)).sort((a, b) => a - b), bytes.length];
    const rows = await collect(csvRows(cuts.slice(1).map((cut, i) => bytes.subarray(cuts[i], cut))));
    assert.deepEqual(rows.map(({ fields }) => fields), table, JSON.stringify(text));
    let line = 1;
    rows.forEach(({ line: got }, i) => {
      assert.equal(got, line, JSON.stringify(text));
      line += 1 + table[i].reduce((sum, field) => sum + (field.match(/\r\n|\r|\n/g)?.length ?? 0), 0);
    });
  }
});

const SCHEMA = {
  columns: { width: { type: 'number' }, colour: { type: 'one-hot', classes: ['red', 'green'] }, size: { type: 'class', classes: ['S', 'M', 'L'], missing: 'M' }, kind: { type: 'class', classes: ['cat', 'dog'] } },
  label: 'kind',
};
const TABLE = 'id,kind,width,size,colour\n1,dog,1.5,L,red\n2,cat,-2e-1,,green\n';
const samples = async (text, schema = SCHEMA) => (await readAll(fromCsv(text, schema))).read(Uint32Array.from({ length: 2 }, (_, i) => i));

test('a schema makes samples of rows: numbers, classes, one of several, a stand-in for what is missing', async () => {
  const batch = await samples(TABLE);
  assert.deepEqual(batch.inputs, { x: { data: Float32Array.of(1.5, 1, 0, 2, -0.2, 0, 1, 1), dims: [2, 4] } });
  assert.deepEqual(batch.labels, { data: BigInt64Array.of(1n, 0n), dims: [2] });
  const two = await samples(TABLE, { ...SCHEMA, inputs: { a: ['size', 'width'], b: ['colour'] }, label: undefined });
  assert.deepEqual(two, { count: 2, inputs: { a: { data: Float32Array.of(2, 1.5, 1, -0.2), dims: [2, 2] }, b: { data: Float32Array.of(1, 0, 0, 1), dims: [2, 2] } } });
  const regression = await samples(TABLE, { ...SCHEMA, inputs: { x: ['size'] }, label: 'width' });
  assert.deepEqual(regression.labels, { data: Float32Array.of(1.5, -0.2), dims: [2] });
  const bare = await samples('7,NA\n8,2\n', { columns: { a: { type: 'number' }, b: { type: 'number', missing: -1 } }, header: ['a', 'b'], absent: ['NA'] });
  assert.deepEqual(bare.inputs.x.data, Float32Array.of(7, -1, 8, 2));
});

test('numbers are decimal numbers, and nothing else', async () => {
  const read = async (text) => (await readAll(fromCsv(`v\n"${text}"\n`, { columns: { v: { type: 'number' } } }))).read(Uint32Array.of(0)).inputs.x.data[0];
  for (const [text, want] of [['1', 1], ['-1.5', -1.5], ['+.5', 0.5], ['5.', 5], [' 7 ', 7], ['1e3', 1000], ['1E-2', Math.fround(0.01)], ['3.4e38', Math.fround(3.4e38)], ['1e-60', 0]]) assert.equal(await read(text), want, text);
  for (const text of ['x', '1,5', '0x10', 'Infinity', 'NaN', '1e', '1e39', '--1', '1 2', '.', '1_000', 'true']) await assert.rejects(read(text), code('E_INVALID_VALUE', { line: 2, column: 'v' }), text);
});

const BAD = [
  ['id,kind,width,size,colour\n1,dog,1,L,red\n\n2,bird,1,L,red\n', 'E_INVALID_VALUE', { line: 4, column: 'kind', value: 'bird' }],
  ['id,kind,width,size,colour\n1,dog,one,L,red\n', 'E_INVALID_VALUE', { line: 2, column: 'width', value: 'one', expected: 'a number' }],
  ['id,kind,width,size,colour\n1,dog,,L,red\n', 'E_INVALID_VALUE', { line: 2, column: 'width' }],
  ['id,kind,width,size,colour\n1,dog,1,L\n', 'E_SHAPE', { line: 2, expected: 5, got: 4 }],
  ['id,kind,width,size,colour\n1,dog,1,L,red,\n', 'E_SHAPE', { line: 2, got: 6 }],
  ['id,kind,width,size\n', 'E_INVALID_VALUE', { line: 1, column: 'colour' }],
  ['kind,kind,width,size,colour\n', 'E_INVALID_VALUE', { line: 1, column: 'kind' }],
  ['', 'E_EMPTY', {}],
];
test('bad tables are refused by line and column', async () => {
  for (const [text, name, details] of BAD) await assert.rejects(collect(fromCsv(text, SCHEMA).open()), code(name, details), text);
  await assert.rejects(readAll(fromCsv('id,kind,width,size,colour\n', SCHEMA)), code('E_EMPTY'));
});

test('bad rows may be left out: they are counted and described, and leave nothing behind', async () => {
  const table = 'id,kind,width,size,colour\n1,dog,1,L,blue\n2,cat,2,S,red\n3,cat\n4,dog,x,S,red\n5,dog,3,S,green\n', stream = fromCsv(table, { ...SCHEMA, badRows: 'skip' });
  for (let epoch = 0; epoch < 2; epoch++) {
    const [batch] = await collect(stream.open());
    assert.deepEqual([batch.count, [...batch.inputs.x.data], [...batch.labels.data]], [2, [2, 1, 0, 0, 3, 0, 1, 0], [0n, 1n]]);
    assert.equal(stream.bad.count, 3);
    assert.deepEqual(stream.bad.rows.map(({ line, column }) => [line, column]), [[2, 'colour'], [4, undefined], [5, 'width']]);
    assert.match(stream.bad.rows[2].reason, /^line 5, column width: 'x' is not a number$/);
  }
  await assert.rejects(collect(fromCsv('a\n"b', { columns: { a: { type: 'number' } }, badRows: 'skip' }).open()), code('E_INVALID_VALUE'), 'what is not CSV is no bad row');
});

test('schemas that make no sense are refused at once', () => {
  const number = { type: 'number' };
  const cases = [
    undefined, {}, { columns: { a: {} } }, { columns: { a: { type: 'text' } } }, { columns: { a: { type: 'class' } } }, { columns: { a: { type: 'class', classes: [] } } },
    { columns: { a: { type: 'class', classes: ['x', 'x'] } } }, { columns: { a: { type: 'class', classes: ['x'], missing: 'y' } } }, { columns: { a: { type: 'number', missing: NaN } } },
    { columns: { a: number }, label: 'b' }, { columns: { a: number }, inputs: { x: ['b'] } }, { columns: { a: number }, inputs: { x: [] } }, { columns: { a: number }, inputs: {} },
    { columns: { a: number }, label: 'a' }, { columns: { a: number }, badRows: 'keep' }, { columns: {} },
  ];
  for (const schema of cases) assert.throws(() => fromCsv('a\n1\n', schema), code('E_ARG'), JSON.stringify(schema));
});

test('large tables come in pieces; a source that can be read once is read once', async () => {
  const text = `v,l\n${Array.from({ length: 1000 }, (_, i) => `${i},${i % 2 ? 'odd' : 'even'}\n`).join('')}`;
  const schema = { columns: { v: { type: 'number' }, l: { type: 'class', classes: ['even', 'odd'] } }, label: 'l' };
  assert.deepEqual((await collect(fromCsv(text, schema).open())).map(({ count }) => count), [256, 256, 256, 232]);
  const loader = createLoader(fromCsv(() => new Blob([text]).stream(), schema), { batchSize: 100, shuffle: true });
  for (const epoch of [0, 1]) {
    const values = (await collect(loader.batches({ epoch }))).flatMap(({ inputs, labels }) => [...inputs.x.data].map((v, i) => (BigInt(v % 2) === labels.data[i] ? v : NaN)));
    assert.deepEqual(values.sort((a, b) => a - b), [...Array(1000).keys()]);
  }
  const once = fromCsv(new Blob([text]).stream(), schema);
  await collect(once.open());
  await assert.rejects(collect(once.open()), code('E_STATE'));
});
