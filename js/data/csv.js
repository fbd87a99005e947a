// csv: tables of text as samples.
//
// A schema says which columns matter and what they hold. Rows that do not fit it are an error that names line and column, or are left out and counted.

import { BbwError, isBbwError } from '../errors.js';
import { entriesOf, listOf, wrongType } from '../internal/bytes.js';
import { fromArrays } from './arrays.js';
import { csvRows } from './csv-rows.js';
import { createBatch } from './batch.js';

/** @typedef {import('./batch.js').Batch} Batch @typedef {import('./batch.js').DataSet} DataSet @typedef {import('./batch.js').DataStream} DataStream */
/** @typedef {import('./csv-rows.js').TextSource} TextSource */

/**
 * What a column holds.
 *   number    a decimal number, as float32
 *   class     one of `classes`, as its place in the list; as an input one number, as the label a class index
 *   one-hot   one of `classes`, as that many numbers of which one is 1
 * `missing` stands in for an absent value: a number, or one of the classes; without it an absent value is an error.
 * @typedef {{type: 'number', missing?: number} | {type: 'class' | 'one-hot', classes: readonly string[], missing?: string}} Column
 */

/**
 * @typedef {object} CsvSchema
 * @property {Record<string, Column>} columns  by the name in the header; other columns are passed over
 * @property {Record<string, readonly string[]>} [inputs]  columns of each input of the model, side by side; default: all but the label in one input named 'x'
 * @property {string} [label]  a class gives int64 class indices, a number float32
 * @property {readonly string[]} [header]  names of the columns when the text has no header
 * @property {readonly string[]} [absent]  texts that mean that there is no value; default: the empty text
 * @property {'error' | 'skip'} [badRows]  default 'error'
 * @property {string} [delimiter]  default ','
 * @property {number} [fieldCharsMax]
 */

/** A row that was left out. @typedef {{line: number, column?: string, reason: string}} BadRow */

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
/** Samples that a stream gives at a time. */
const PIECE = 256;
/** Left-out rows that are described; all are counted. */
const BAD_ROWS_KEPT = 100;

/** @returns {{count: number, rows: BadRow[]}} */
const nothingBad = () => ({ count: 0, rows: [] });
/** @param {string} text */
const short = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** Numbers that a column gives. @param {Column} column */
const widthOf = (column) => (column.type === 'one-hot' ? column.classes.length : 1);

/** @param {string} name @param {Column} column @returns {(text: string, line: number, out: number[]) => void} appends the numbers of a field */
function readerOf(name, column) {
  /** @param {number} line @param {string} text @param {string} expected @returns {never} */
  const refuse = (line, text, expected) => {
    throw new BbwError('E_INVALID_VALUE', `line ${line}, column ${name}: '${short(text)}' is not ${expected}`, { line, column: name, value: short(text), expected });
  };
  if (column.type === 'number') {
    return (text, line, out) => {
      const trimmed = text.trim(), value = Math.fround(Number(trimmed));
      if (!NUMBER.test(trimmed)) refuse(line, text, 'a number');
      if (!Number.isFinite(value)) refuse(line, text, 'a number that 32 bits can hold');
      out.push(value);
    };
  }
  const places = new Map(column.classes.map((text, i) => [text, i]));
  return (text, line, out) => {
    const place = places.get(text) ?? places.get(text.trim());
    if (place === undefined) return refuse(line, text, `one of ${short(column.classes.join(', '))}`);
    if (column.type === 'class') out.push(place);
    else for (let i = 0; i < places.size; i++) out.push(i === place ? 1 : 0);
  };
}

/** @param {CsvSchema} schema */
function checkSchema(schema) {
  if (schema === null || typeof schema !== 'object') throw wrongType('schema', 'an object', schema);
  const columns = new Map(entriesOf(schema.columns, 'columns'));
  for (const [name, column] of columns) {
    if (!['number', 'class', 'one-hot'].includes(column?.type)) throw new BbwError('E_ARG', `column ${name}: type must be number, class or one-hot`, { column: name, value: column?.type });
    if (column.type === 'number') {
      if (column.missing !== undefined && !Number.isFinite(column.missing)) throw new BbwError('E_ARG', `column ${name}: missing must be a number`, { column: name, value: column.missing });
      continue;
    }
    if (!Array.isArray(column.classes) || column.classes.length === 0 || new Set(column.classes).size !== column.classes.length || column.classes.some((c) => typeof c !== 'string')) {
      throw new BbwError('E_ARG', `column ${name}: classes must be different texts`, { column: name });
    }
    if (column.missing !== undefined && !column.classes.includes(column.missing)) throw new BbwError('E_ARG', `column ${name}: missing must be one of its classes`, { column: name, value: column.missing });
  }
  const { label } = schema;
  const inputs = schema.inputs ?? { x: [...columns.keys()].filter((name) => name !== label) };
  const used = [...entriesOf(inputs, 'inputs').flatMap(([name, list]) => listOf(list, `inputs.${name}`)), ...(label === undefined ? [] : [label])];
  for (const name of used) if (!columns.has(name)) throw new BbwError('E_ARG', `the schema has no column ${name}`, { column: name, expected: [...columns.keys()] });
  for (const [name, list] of Object.entries(inputs)) if (list.length === 0) throw new BbwError('E_ARG', `input ${name} has no columns`, { input: name });
  if (Object.keys(inputs).length === 0) throw new BbwError('E_ARG', 'there are no inputs', { field: 'inputs' });
  if (!['error', 'skip', undefined].includes(schema.badRows)) throw new BbwError('E_ARG', 'badRows must be error or skip', { field: 'badRows', value: schema.badRows });
  const absent = new Set(schema.absent ?? ['']);
  return { columns, inputs, label, used: [...new Set(used)], absent };
}

/** Where the columns stand. @param {readonly string[]} header @param {readonly string[]} used @param {number} line @returns {Map<string, number>} */
function placesOf(header, used, line) {
  /** @type {Map<string, number>} */
  const places = new Map();
  header.forEach((name, i) => {
    if (places.has(name) && used.includes(name)) throw new BbwError('E_INVALID_VALUE', `line ${line}: two columns are named ${name}`, { line, column: name });
    places.set(name, i);
  });
  for (const name of used) {
    if (!places.has(name)) throw new BbwError('E_INVALID_VALUE', `line ${line}: there is no column ${name}`, { line, column: name, expected: used, got: header.map(short) });
  }
  return places;
}

/**
 * Tables as a stream of samples. `bad` tells of the rows that were left out, of the last reading.
 * @param {TextSource | (() => TextSource | Promise<TextSource>)} source  a function is called for each epoch; a stream is good for one
 * @param {CsvSchema} schema
 * @returns {DataStream & {bad: {count: number, rows: BadRow[]}}}
 * @throws {BbwError} E_ARG for the schema. While reading: E_INVALID_VALUE with line and column, E_SHAPE with the line of a row that has too few or too many
 *   fields, E_LIMIT, E_UTF8; E_STATE for a stream that was read before
 */
export function fromCsv(source, schema) {
  const { columns, inputs, label, used, absent } = checkSchema(schema);
  const readers = new Map(used.map((name) => [name, readerOf(name, /** @type {Column} */ (columns.get(name)))]));
  const isOnce = typeof source !== 'function' && typeof source !== 'string' && !(source instanceof Uint8Array) && !Array.isArray(source) && !(typeof Blob === 'function' && source instanceof Blob);
  let wasRead = false;
  const stream = {
    bad: nothingBad(),
    /** @param {{signal?: AbortSignal}} [options] @returns {AsyncGenerator<Batch, void, undefined>} */
    async* open({ signal } = {}) {
      if (isOnce && wasRead) throw new BbwError('E_STATE', 'the source was read before; give a function that opens it anew', { field: 'source' });
      wasRead = true;
      const bad = stream.bad = nothingBad();
      let header = schema.header;
      let places = header && placesOf(header, used, 1);
      /** Numbers of the samples that wait, by input; the label's beside them. @type {Record<string, number[]>} */
      let numbers = {};
      /** @type {number[]} */
      let labels = [];
      let count = 0;
      const flush = () => {
        /** @param {number[]} list @param {readonly string[]} names */
        const tensor = (list, names) => ({ data: Float32Array.from(list), dims: [count, names.reduce((n, name) => n + widthOf(/** @type {Column} */ (columns.get(name))), 0)] });
        const batch = createBatch({
          inputs: Object.fromEntries(Object.entries(inputs).map(([name, names]) => [name, tensor(numbers[name], names)])),
          ...(label !== undefined && { labels: labelsOf(/** @type {Column} */ (columns.get(label)), label) }),
        });
        numbers = {};
        labels = [];
        count = 0;
        return batch;
      };
      /** @param {Column} column @param {string} name */
      const labelsOf = (column, name) => (column.type === 'class' ? BigInt64Array.from(labels, BigInt)
        : column.type === 'number' ? Float32Array.from(labels) : { data: Float32Array.from(labels), dims: [count, widthOf(/** @type {Column} */ (columns.get(name)))] });
      /** @param {import('./csv-rows.js').Row} row @param {Map<string, number>} at */
      const take = ({ line, fields }, at) => {
        if (header !== undefined && fields.length !== header.length) {
          throw new BbwError('E_SHAPE', `line ${line}: ${fields.length} fields where the header has ${header.length}`, { line, expected: header.length, got: fields.length });
        }
        /** @param {string} name @param {number[]} out */
        const read = (name, out) => {
          const column = /** @type {Column} */ (columns.get(name));
          let text = fields[/** @type {number} */ (at.get(name))];
          if (absent.has(text.trim())) {
            if (column.missing === undefined) throw new BbwError('E_INVALID_VALUE', `line ${line}, column ${name}: there is no value`, { line, column: name, value: short(text) });
            text = String(column.missing);
          }
          /** @type {(text: string, line: number, out: number[]) => void} */ (readers.get(name))(text, line, out);
        };
        /** @type {Record<string, number[]>} */
        const own = {};
        /** @type {number[]} */
        const ownLabel = [];
        for (const [input, names] of Object.entries(inputs)) {
          own[input] = [];
          for (const name of names) read(name, own[input]);
        }
        if (label !== undefined) read(label, ownLabel);
        // Only now: a row that was refused has left nothing behind.
        for (const [input, list] of Object.entries(own)) (numbers[input] ??= []).push(...list);
        labels.push(...ownLabel);
        count++;
      };
      const opened = typeof source === 'function' ? await source() : source;
      for await (const row of csvRows(opened, { delimiter: schema.delimiter, fieldCharsMax: schema.fieldCharsMax, signal })) {
        if (places === undefined) {
          header = row.fields.map((name) => name.trim());
          places = placesOf(header, used, row.line);
          continue;
        }
        try {
          take(row, places);
        } catch (error) {
          if (schema.badRows !== 'skip' || !isBbwError(error)) throw error;
          bad.count++;
          if (bad.rows.length < BAD_ROWS_KEPT) bad.rows.push({ line: row.line, column: /** @type {string | undefined} */ (error.details.column), reason: error.message });
        }
        if (count === PIECE) yield flush();
      }
      if (places === undefined) throw new BbwError('E_EMPTY', 'the table has no header', { line: 1 });
      if (count > 0) yield flush();
    },
  };
  return stream;
}

/**
 * Reads a whole stream into memory: a set that can be shuffled, split and read at any place.
 * @param {DataStream} stream @param {{samplesMax?: number, signal?: AbortSignal}} [options]
 * @returns {Promise<DataSet>}
 * @throws {BbwError} E_EMPTY, E_LIMIT, what the stream throws
 */
export async function readAll(stream, { samplesMax = 2 ** 24, signal } = {}) {
  /** @type {Batch[]} */
  const batches = [];
  let count = 0;
  for await (const batch of stream.open({ signal })) {
    count += batch.count;
    if (count > samplesMax) throw new BbwError('E_LIMIT', `the stream has more than ${samplesMax} samples`, { field: 'samplesMax', cap: samplesMax });
    batches.push(batch);
  }
  if (count === 0) throw new BbwError('E_EMPTY', 'the stream has no samples', {});
  /** @param {(batch: Batch) => import('./batch.js').Tensor} of @returns {import('./batch.js').Tensor} */
  const join = (of) => {
    const first = of(batches[0]), size = first.dims.slice(1).reduce((a, b) => a * b, 1);
    const data = new (/** @type {any} */ (first.data.constructor))(count * size);
    let at = 0;
    for (const batch of batches) {
      data.set(of(batch).data, at);
      at += batch.count * size;
    }
    return { ...first, data, dims: [count, ...first.dims.slice(1)] };
  };
  const [{ inputs, labels }] = batches;
  return fromArrays({
    inputs: Object.fromEntries(Object.keys(inputs).map((name) => [name, join((batch) => batch.inputs[name])])),
    ...(labels !== undefined && { labels: join((batch) => /** @type {import('./batch.js').Tensor} */ (batch.labels)) }),
  });
}
