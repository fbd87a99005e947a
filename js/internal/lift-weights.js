// lift-weights: a model without its large weights, and the weights.
//
// Each large raw_data of an initializer becomes external data of ONNX with the location '': the engine asks for it when it needs it. What can not be
// read is left as it is; the engine says what is wrong with it. Source: field numbers of onnx.proto. Not part of the public API.

/** Smaller ones stay. */
const LIFTED_BYTES_MIN = 1 << 16;
/** Field numbers. */
const MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, TENSOR_RAW_DATA = 9, TENSOR_EXTERNAL_DATA = 13, TENSOR_DATA_LOCATION = 14, ENTRY_KEY = 1, ENTRY_VALUE = 2;
const VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5;
const EXTERNAL = 1;

/**
 * Calls `visit` for each field of a message; false when the message is not well formed. Nothing is kept of a field: a model may have as many as it has bytes.
 * @param {Uint8Array} bytes @param {number} from @param {number} to
 * @param {(number: number, wire: number, start: number, body: number, end: number) => void} visit  start: of the tag; body to end: the content
 */
function walk(bytes, from, to, visit) {
  let at = from;
  const varint = () => {
    for (let value = 0, scale = 1; at < to && scale < 2 ** 49; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return NaN;
  };
  while (at < to) {
    const start = at, key = varint(), wire = key % 8;
    let body = at, end = NaN;
    if (wire === DELIMITED) {
      const length = varint();
      body = at;
      end = at + length;
    } else if (wire === VARINT) {
      while (at < to && bytes[at] >= 0x80) at++;
      end = at + 1;
    } else if (wire === FIXED64 || wire === FIXED32) end = at + (wire === FIXED64 ? 8 : 4);
    if (!(end <= to)) return false;
    visit(Math.floor(key / 8), wire, start, body, end);
    at = end;
  }
  return true;
}

/** @param {number} value */
function varintOf(value) {
  const out = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.of(...out, rest);
    out.push((rest % 128) + 128);
  }
}

/** @typedef {Uint8Array[]} Parts */
/** @param {Parts} parts */
const lengthOf = (parts) => parts.reduce((sum, { length }) => sum + length, 0);
/** @param {number} number @param {Parts} parts @returns {Parts} */
const message = (number, parts) => [varintOf(number * 8 + DELIMITED), varintOf(lengthOf(parts)), ...parts];
/** @param {number} number @param {string} text */
const textField = (number, text) => message(number, [new TextEncoder().encode(text)]);

/** @param {number} offset @param {number} length @returns {Parts} */
const place = (offset, length) => [
  ...[['location', ''], ['offset', String(offset)], ['length', String(length)]]
    .flatMap(([key, value]) => message(TENSOR_EXTERNAL_DATA, [...textField(ENTRY_KEY, key), ...textField(ENTRY_VALUE, value)])),
  varintOf(TENSOR_DATA_LOCATION * 8 + VARINT), varintOf(EXTERNAL),
];

/**
 * @param {Uint8Array} model
 * @returns {{skeleton: Uint8Array, weightsAt(offset: number, length: number): Uint8Array | undefined}}
 */
export function liftWeights(model) {
  /** Length by offset in the model. @type {Map<number, number>} */
  const lifted = new Map();
  const part = (/** @type {number} */ from, /** @type {number} */ to) => model.subarray(from, to);

  /** An initializer at those places. @param {number} start @param {number} body @param {number} end @returns {Parts} */
  function lessTensor(start, body, end) {
    let raws = 0, rawStart = 0, rawBody = 0, rawEnd = 0, isElsewhere = false;
    const isWell = walk(model, body, end, (number, wire, fieldStart, fieldBody, fieldEnd) => {
      isElsewhere ||= number === TENSOR_EXTERNAL_DATA || number === TENSOR_DATA_LOCATION;
      if (number !== TENSOR_RAW_DATA || wire !== DELIMITED) return;
      raws++;
      rawStart = fieldStart;
      rawBody = fieldBody;
      rawEnd = fieldEnd;
    });
    const length = rawEnd - rawBody;
    if (!isWell || raws !== 1 || isElsewhere || length < LIFTED_BYTES_MIN) return [part(start, end)];
    lifted.set(rawBody, length);
    return message(GRAPH_INITIALIZER, [part(body, rawStart), part(rawEnd, end), ...place(rawBody, length)]);
  }

  /** @returns {Parts | undefined} */
  function lessModel() {
    let graphs = 0, graphWire = NaN, graphStart = 0, graphBody = 0, graphEnd = 0;
    const isWell = walk(model, 0, model.length, (number, wire, start, body, end) => {
      if (number !== MODEL_GRAPH) return;
      graphs++;
      graphWire = wire;
      graphStart = start;
      graphBody = body;
      graphEnd = end;
    });
    if (!isWell || graphs !== 1 || graphWire !== DELIMITED) return undefined;
    /** @type {Parts} */
    const parts = [];
    let kept = graphBody; // what is not lifted stays in one piece
    const isWellInside = walk(model, graphBody, graphEnd, (number, wire, start, body, end) => {
      if (number !== GRAPH_INITIALIZER || wire !== DELIMITED || end - body < LIFTED_BYTES_MIN) return;
      parts.push(part(kept, start), ...lessTensor(start, body, end));
      kept = end;
    });
    if (!isWellInside) return undefined;
    parts.push(part(kept, graphEnd));
    return [part(0, graphStart), ...message(MODEL_GRAPH, parts), part(graphEnd, model.length)];
  }

  const parts = lessModel();
  const weightsAt = (/** @type {number} */ offset, /** @type {number} */ length) => (lifted.get(offset) === length ? part(offset, offset + length) : undefined);
  if (parts === undefined || lifted.size === 0) return { skeleton: model, weightsAt };
  const skeleton = new Uint8Array(lengthOf(parts));
  let at = 0;
  for (const piece of parts) {
    skeleton.set(piece, at);
    at += piece.length;
  }
  return { skeleton, weightsAt };
}
