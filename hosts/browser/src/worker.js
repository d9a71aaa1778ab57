// Reads files and correlates their records, away from the page.

import { Component } from '../../node/src/component.js';
import { Analysis } from './analysis.js';
import { modules } from './modules.js';
import { Files } from './reader.js';

/** How often the page hears of progress, in milliseconds. */
const TICK = 100;

const loaded = modules().then((compiled) => ({
  component: new Component(compiled),
  files: new Files(compiled),
}));

let analysis;
let isStopped = false;
/** Files are read one after the other, also those that were dropped meanwhile. */
let queue = Promise.resolve();

const handlers = {
  async open({ config }) {
    const { component, files } = await loaded;
    analysis = new Analysis(component, files, config);
    return { tag: 'opened', description: component.describe() };
  },

  async read({ files }) {
    if (!analysis) throw new Error('nothing can be read: the settings are refused');
    isStopped = false;
    let told = performance.now();
    for (const step of analysis.read(files, () => isStopped)) {
      if (performance.now() - told < TICK) continue;
      postMessage({ tag: 'progress', ...step, ...analysis.take() });
      // Lets a request to stop through.
      await pause();
      told = performance.now();
    }
    return { tag: 'done', isStopped, ...analysis.take(), ...analysis.counts() };
  },
};

onmessage = ({ data }) => {
  if (data.tag === 'stop') {
    isStopped = true;
    return;
  }
  queue = queue.then(async () => {
    try {
      postMessage(await handlers[data.tag](data));
    } catch (error) {
      postMessage({ tag: 'failed', message: error.message });
    }
  });
};

const { port1, port2 } = new MessageChannel();

/** Lets other messages in. A timer would wait for milliseconds. */
function pause() {
  return new Promise((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(null);
  });
}
