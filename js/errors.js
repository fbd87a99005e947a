// errors: what this package throws.
//
// Every error that a caller can act on is a BbwError. Its `code` is a name from include/bbw/status.def, the same word that
// C uses; `details` holds the fields of the variant (which input, how much, what was allowed), never formatted text.

/** An error of the engine or of this package; `code` says which. */
export class BbwError extends Error {
  /**
   * @param {string} code  a status name such as E_TRUNCATED
   * @param {string} message  for humans
   * @param {Record<string, unknown> & {cause?: unknown}} [details]  the fields of the variant
   */
  constructor(code, message, details = {}) {
    const { cause, ...fields } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'BbwError';
    /** @readonly */
    this.code = code;
    /** @readonly @type {Readonly<Record<string, unknown>>} */
    this.details = Object.freeze(fields);
  }
}

/**
 * Is this one of our errors, and optionally of that code?
 * @param {unknown} error
 * @param {string} [code]
 * @returns {error is BbwError}
 */
export function isBbwError(error, code) {
  return error instanceof BbwError && (code === undefined || error.code === code);
}
