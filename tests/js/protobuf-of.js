// Protobuf messages field by field, for files that no exporter writes. Independent of the code under test.

/** @typedef {ReturnType<typeof writeMessage>} Writer */

export function writeMessage() {
  /** @type {number[][] | Uint8Array[]} */
  const parts = /** @type {any} */ ([]);
  const varint = (/** @type {number} */ value) => {
    const out = [];
    for (let rest = value; ; rest = Math.floor(rest / 128)) {
      if (rest < 128) return [...out, rest];
      out.push((rest % 128) + 128);
    }
  };
  const self = {
    /** @param {number} number @param {number} value */
    varint(number, value) {
      /** @type {any} */ (parts).push(varint(number * 8), varint(value));
      return self;
    },
    /** @param {number} number @param {Uint8Array} bytes */
    data(number, bytes) {
      /** @type {any} */ (parts).push(varint(number * 8 + 2), varint(bytes.length), bytes);
      return self;
    },
    text: (/** @type {number} */ number, /** @type {string} */ text) => self.data(number, new TextEncoder().encode(text)),
    /** @param {number} number @param {{bytes(): Uint8Array}} message @returns {any} */
    message: (number, message) => self.data(number, message.bytes()),
    bytes() {
      const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const part of parts) {
        out.set(part, at);
        at += part.length;
      }
      return out;
    },
  };
  return self;
}
