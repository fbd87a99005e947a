// bits: the outputs of some models as hashes of their bits. Runs in Node and in pages; used by bits.test.js.

const floats = (dims) => ({ dims, data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 37) % 101) / 50 - 1) });
const INPUTS = {
  dense: { x: floats([3, 784]) }, mnist_cnn: { image: floats([2, 1, 28, 28]) }, mobilenet_v2: { image: floats([1, 3, 224, 224]) },
  encoder: {
    input_ids: { dims: [2, 24], data: BigInt64Array.from({ length: 48 }, (_, i) => BigInt(i * 7)) },
    attention_mask: { dims: [2, 24], data: BigInt64Array.from({ length: 48 }, (_, i) => BigInt(i % 24 < 20 ? 1 : 0)) },
  },
};

/** FNV-1a, 32 bits. @param {Uint8Array} bytes */
function hash(bytes) {
  let h = 0x811c9dc5;
  for (const byte of bytes) h = Math.imul(h ^ byte, 0x01000193) >>> 0;
  return h.toString(16).padStart(8, '0');
}

/** @param {any} runtime @param {any} createSessionIn @param {(name: string) => Promise<Uint8Array>} load @returns {Promise<Record<string, string>>} */
export async function bitsOf(runtime, createSessionIn, load) {
  const out = {};
  for (const [name, inputs] of Object.entries(INPUTS)) {
    const session = createSessionIn(runtime, await load(name));
    const [{ data }] = Object.values(session.run(inputs));
    out[name] = `${data.length} ${hash(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))}`;
    session.dispose();
  }
  return out;
}
