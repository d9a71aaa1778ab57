/**
 * The files of a drop or a choice, those in folders too.
 *
 * @typedef {{file: File, path: string, isFound: boolean}} Given found: in a folder, rather than named
 */

/** @returns {Promise<{files: Given[], failed: {place: string, detail: string}[]}>} */
export async function dropped(transfer) {
  const entries = [...transfer.items].filter(({ kind }) => kind === 'file').map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const all = { files: [], failed: [] };
  for (const [entry, file] of entries) {
    if (entry?.isDirectory) await folder(entry, all);
    else if (file) all.files.push({ file, path: file.name, isFound: false });
  }
  return all;
}

async function folder(entry, all) {
  try {
    const reader = entry.createReader();
    const children = [];
    for (;;) {
      // A reader gives a part of them at a time.
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (part.length === 0) break;
      children.push(...part);
    }
    children.sort((one, other) => (one.name < other.name ? -1 : 1));
    for (const child of children) {
      if (child.isDirectory) await folder(child, all);
      else await file(child, all);
    }
  } catch (error) {
    all.failed.push({ place: entry.fullPath, detail: error.message });
  }
}

async function file(entry, all) {
  const path = entry.fullPath.replace(/^\//, '');
  try {
    all.files.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path, isFound: true });
  } catch (error) {
    all.failed.push({ place: path, detail: error.message });
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
