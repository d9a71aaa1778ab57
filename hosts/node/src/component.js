import { instantiate } from '../component/catena.js';
import { Correlator } from './correlator.js';
import { CatenaError } from './errors.js';
import { Supervisor } from './supervisor.js';

const INTERFACE = 'catena:pipeline/correlation@1.0.0';

/** A compiled component, from which correlators are opened. */
export class Component {
  #modules;
  #instantiate;

  /**
   * Use {@link Component.load}, unless the core modules are compiled already.
   *
   * @param {Map<string, WebAssembly.Module>} modules by name
   * @param {Function} [from] the `instantiate` of another component
   */
  constructor(modules, from = instantiate) {
    this.#modules = modules;
    this.#instantiate = from;
  }

  /**
   * Compiles the built-in component, in Node or in a browser. Takes some hundredths of a second; keep the result.
   *
   * @param {{from?: {instantiate: Function, base: URL | string, modules?: string[]}}} [options] another component that jco
   *   has transpiled with `--instantiation async`
   */
  static async load({ from } = {}) {
    const base = from?.base ?? new URL('../component/', import.meta.url);
    const names = from?.modules ?? ['catena.core.wasm', 'catena.core2.wasm', 'catena.core3.wasm'];
    const modules = new Map();
    await Promise.all(names.map(async (name) => modules.set(name, await compile(new URL(name, base)))));
    return new Component(modules, from?.instantiate);
  }

  /** A new instance, which shares nothing with others. */
  instance() {
    const compiled = (name) => {
      const module = this.#modules.get(name);
      if (!module) throw new CatenaError(`the component cannot be loaded: there is no ${name}`);
      return module;
    };
    // With compiled modules, jco instantiates at once.
    return this.#instantiate(compiled, {}, (module, imports) => new WebAssembly.Instance(module, imports))[INTERFACE];
  }

  /** Opens a correlator: with an empty state, or with that of a `checkpoint`. */
  open(config, options) {
    return new Correlator(this, config, options);
  }

  /** Opens a correlator that is replaced when it fails. */
  supervise(config, options) {
    return new Supervisor(this, config, options);
  }

  /** What the component says of itself. */
  describe() {
    return JSON.parse(this.instance().describe());
  }
}

async function compile(url) {
  if (url.protocol === 'file:') {
    const { readFile } = await import('node:fs/promises');
    return WebAssembly.compile(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new CatenaError(`the component cannot be loaded: ${url}: ${response.status}`);
  return WebAssembly.compileStreaming(response);
}
