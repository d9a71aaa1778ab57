/** The core modules of both components, compiled. */
export async function modules() {
  const named = Object.entries(MODULES).map(async ([name, base64]) => [name, await WebAssembly.compile(await bytesOf(base64))]);
  return new Map(await Promise.all(named));
}

/** The bytes that were compressed with gzip and written in base64. */
async function bytesOf(base64) {
  const compressed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}
