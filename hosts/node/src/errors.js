/** Any error of this package. */
export class CatenaError extends Error {
  name = 'CatenaError';
}

/** The component refused a call. Nothing was consumed, no state has changed, and the correlator remains usable. */
export class Fault extends CatenaError {
  name = 'Fault';

  /**
   * @param {string} kind `invalid-config`, `invalid-checkpoint`, `invalid-argument`, `limit-exceeded` or `other`
   * @param {string} path the place of the problem: the path in a configuration, or an argument
   * @param {string} reason the problem in words, with what was expected
   */
  constructor(kind, path, reason) {
    super(path ? `${path}: ${reason}` : reason);
    this.kind = kind;
    this.path = path;
    this.reason = reason;
  }
}

/** The component failed, because of a bug or a lack of memory. Its correlator is no longer usable. */
export class Trapped extends CatenaError {
  name = 'Trapped';
}
