// errors: what this package throws.
//
// Every error that a caller can act on is a BbwError. Its `code` is a name from include/bbw/status.def, the same word that
// C uses; `details` holds the fields of the variant (which input, how much, what was allowed), never formatted text.

/** An error of the engine or of this package; `code` says which. */
export class BbwError extends Error {
  /**
   * @param {string} code  a status name such as E_TRUNCATED
   * @param {string} message  for humans
   * @param {Record<string, unknown>} [details]  the fields of the variant; an Error named `cause` becomes the cause
   */
  constructor(code, message, details = {}) {
    const { cause, ...rest } = details;
    const fields = cause instanceof Error || cause === undefined ? rest : details;
    super(message, cause instanceof Error ? { cause } : undefined);
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
