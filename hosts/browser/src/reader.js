import { instantiate } from '../component/reader.js';

const INTERFACE = 'catena:reader/reader@1.0.0';

/** Reads files of audit records as the program does. */
export class Files {
  #modules;

  /** @param {Map<string, WebAssembly.Module>} modules the core modules of the reader, by name */
  constructor(modules) {
    this.#modules = modules;
  }

  /**
   * What a file holds, event by event, see `reader/wit/reader.wit`. Works in workers alone: only they can read at once.
   *
   * @param {File} file
   * @param {{path: string, isFound: boolean, longest: number}} options
   */
  *events(file, { path, isFound, longest }) {
    const source = {
      size: () => BigInt(file.size),
      read(offset, length) {
        const at = Number(offset);
        try {
          return new Uint8Array(new FileReaderSync().readAsArrayBuffer(file.slice(at, at + length)));
        } catch (error) {
          // As the bindings want it: a string as the payload of an error.
          throw Object.assign(new Error(error.message), { payload: `the browser cannot read it: ${error.message}` });
        }
      },
    };
    const imports = { 'catena:reader/source': source, 'catena:reader/source@1.0.0': source };
    // An instance for each file: what a damaged one does to the decoders ends with it.
    const compiled = (name) => this.#modules.get(name);
    const instance = instantiate(compiled, imports, (module, given) => new WebAssembly.Instance(module, given));
    const reader = instance[INTERFACE].Reader.open(path, isFound, longest);
    for (;;) {
      const { tag, val } = reader.next();
      if (tag === 'end') return;
      yield { tag, val, offset: Number(reader.offset()) };
    }
  }
}
