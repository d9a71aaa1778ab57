/**
 * The files of a drop or a choice, those in folders too.
 *
 * @typedef {{file: File, path: string, isFound: boolean}} Given found: in a folder, rather than named
 */

/** @returns {Promise<{files: Given[], failed: {place: string, detail: string}[]}>} */
export async function dropped(transfer) {
  // All must be asked before anything is awaited: the list is emptied then.
  const items = [...transfer.items].filter(({ kind }) => kind === 'file').map((item) => ({
    handle: item.getAsFileSystemHandle?.().catch(() => undefined),
    entry: item.webkitGetAsEntry?.(),
    file: item.getAsFile(),
  }));
  const all = { files: [], failed: [] };
  for (const { handle, entry, file } of items) {
    const given = await handle;
    // Chromium lists the entries of a folder to no page that comes from a disk, but its handle; others have no handles.
    if (given?.kind === 'directory') await folder(given.name, () => childrenOf(given), all);
    else if (entry?.isDirectory) await folder(entry.name, () => childrenOfEntry(entry), all);
    else if (file) all.files.push({ file, path: file.name, isFound: false });
  }
  return all;
}

/**
 * Adds the files in a folder, in the order of their names.
 *
 * @typedef {{name: string, file?: () => Promise<File>, children?: () => Promise<Child[]>}} Child
 * @param {() => Promise<Child[]>} children
 */
async function folder(path, children, all) {
  try {
    const sorted = (await children()).sort((one, other) => (one.name < other.name ? -1 : 1));
    for (const child of sorted) {
      const place = `${path}/${child.name}`;
      if (child.children) await folder(place, child.children, all);
      else await add(place, child.file, all);
    }
  } catch (error) {
    all.failed.push({ place: path, detail: error.message });
  }
}

async function add(path, file, all) {
  try {
    all.files.push({ file: await file(), path, isFound: true });
  } catch (error) {
    all.failed.push({ place: path, detail: error.message });
  }
}

async function childrenOf(handle) {
  const children = [];
  for await (const child of handle.values()) {
    const { name, kind } = child;
    children.push(kind === 'directory' ? { name, children: () => childrenOf(child) } : { name, file: () => child.getFile() });
  }
  return children;
}

async function childrenOfEntry(entry) {
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    // A reader gives a part of them at a time.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return children;
    for (const child of part) {
      const { name, isDirectory } = child;
      const file = () => new Promise((resolve, reject) => child.file(resolve, reject));
      children.push(isDirectory ? { name, children: () => childrenOfEntry(child) } : { name, file });
    }
  }
}

/** The files of an input element. */
export function chosen(input) {
  const files = [...input.files].map((one) => ({
    file: one,
    path: one.webkitRelativePath || one.name,
    isFound: Boolean(one.webkitRelativePath),
  }));
  files.sort((one, other) => (one.path < other.path ? -1 : 1));
  return { files, failed: [] };
}
