// simd: which vector instructions does this engine have?
//
// Each probe is a whole module with one function of one instruction.  `validate` compiles nothing and is allowed where compiling from bytes is not.
// Not part of the public API.

/*
 * (module (func (result v128) (i8x16.splat (i32.const 0))))
 *   00 61 73 6d 01 00 00 00      magic and version
 *   01 05 01 60 00 01 7b         type 0: () -> v128
 *   03 02 01 00                  function 0 has type 0
 *   0a 08 01 06 00               code: one body of 6 bytes without locals
 *   41 00 fd 0f 0b               i32.const 0, i8x16.splat, end
 */
const SIMD = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 0x0a, 8, 1, 6, 0, 0x41, 0, 0xfd, 0x0f, 0x0b]);

/*
 * (module (func (result v128) (f32x4.relaxed_madd (unreachable))))
 *   the same head, then          0a 08 01 06 00
 *   00 fd 85 02 0b               unreachable (gives whatever is asked for), f32x4.relaxed_madd (0x105 as LEB128), end
 */
const RELAXED_SIMD = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 0x0a, 8, 1, 6, 0, 0, 0xfd, 0x85, 2, 0x0b]);

/** @returns {boolean} whether bb.wasm can run: 128-bit vectors */
export function hasSimd() {
  return WebAssembly.validate(SIMD);
}

/** @returns {boolean} whether bb-relaxed.wasm can run: fused multiply-add where the machine has it */
export function hasRelaxedSimd() {
  return WebAssembly.validate(RELAXED_SIMD);
}
