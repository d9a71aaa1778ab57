/** Of each kind of problem, this many are shown with their record; all are counted. */
const EXAMPLES = 50;

/** The longest part of a record that is shown, in bytes. */
const EXCERPT = 16 << 10;

const LF = 0x0a;

/** The correlation of the files of a page, and what is to be told of them. */
export class Analysis {
  #correlator;
  #files;
  #limit;
  #examples = new Map();
  #news = nothing();
  #totals = { files: 0, bytes: 0, text: 0, records: 0, matched: 0 };

  /**
   * @param {import('../../node/src/index.js').Component} component
   * @param {import('./reader.js').Files} files
   * @param {object} config settings besides the mode
   */
  constructor(component, files, config) {
    this.#correlator = component.supervise({ ...config, mode: 'findings', findings: 'ocsf' });
    this.#files = files;
    this.#limit = Math.min(this.#correlator.batchLimit, 64 << 20);
  }

  /** Reads files. Yields after each batch how far it is; `isStopped` ends it there. */
  *read(files, isStopped) {
    const total = files.reduce((sum, { file }) => sum + file.size, 0);
    let before = 0;
    for (const { file, path, isFound } of files) {
      this.#totals.files += 1;
      let place = path;
      let offset = 0;
      try {
        for (const event of this.#files.events(file, { path, isFound, longest: this.#limit })) {
          offset = event.offset;
          if (event.tag === 'entry') place = `${path} › ${event.val}`;
          else this.#take(event, place);
          yield { path: place, bytes: before + offset, total, records: this.#totals.records };
          if (isStopped()) return;
        }
      } catch (error) {
        this.#problem('file', 'failed', { place, detail: error.message });
      } finally {
        this.#totals.bytes += offset;
      }
      before += file.size;
    }
  }

  #take({ tag, val }, place) {
    switch (tag) {
      case 'batch':
        return this.#process(val, place);
      case 'too-long':
        this.#totals.records += 1;
        return this.#problem('rejected', 'too-long', { place, line: Number(val), detail: 'the record is too long' });
      default:
        // A part of an archive or folder, or a file that cannot be read.
        return this.#problem('file', tag, { place, detail: val });
    }
  }

  #process({ bytes, original = bytes, line }, place) {
    const outcome = this.#correlator.process(bytes);
    this.#totals.text += bytes.length;
    this.#totals.records += outcome.records;
    this.#totals.matched += outcome.matched;
    const at = locator(original, Number(line));
    for (const { id, rule, severityId, body, start, end } of outcome.findings) {
      const record = { place, line: at(start), text: excerpt(original, start, end) };
      this.#news.findings.push({ id, rule, severityId, body, record });
    }
    for (const { start, end, code, detail } of outcome.rejections) {
      this.#problem('rejected', code, { place, detail }, () => ({ line: at(start), text: excerpt(original, start, end) }));
    }
    for (const { start, end, code } of outcome.unrecognised) {
      this.#problem('unrecognised', code, { place }, () => ({ line: at(start), text: excerpt(original, start, end) }));
    }
  }

  /** Notes a problem, the first of each kind with its record. */
  #problem(kind, code, problem, more = () => ({})) {
    const name = `${kind} ${code}`;
    const count = (this.#examples.get(name) ?? 0) + 1;
    this.#examples.set(name, count);
    // Every file that was not read is named.
    if (count <= EXAMPLES || kind === 'file') this.#news.problems.push({ kind, code, ...problem, ...more() });
  }

  /** What is new since the last call. */
  take() {
    const news = this.#news;
    this.#news = nothing();
    return news;
  }

  /** All counts so far. */
  counts() {
    const metrics = this.#correlator.metrics();
    const labelled = (name) => metrics.filter((metric) => metric.name === name && metric.value > 0);
    const value = (name) => metrics.find((metric) => metric.name === name)?.value ?? 0;
    const rejected = [...this.#examples].filter(([name]) => name.startsWith('rejected '));
    return {
      totals: { ...this.#totals, duplicates: value('duplicates'), late: value('late'), pending: value('pending') },
      forms: labelled('input').map(({ labels, value: records }) => ({ ...labels, records })),
      unrecognised: labelled('unrecognised').map(({ labels, value: records }) => ({ kind: labels.kind, records })),
      rejected: rejected.map(([name, records]) => ({ reason: name.slice('rejected '.length), records })),
      losses: ['evicted', 'searches-cut', 'withheld', 'forgotten-event-ids', 'unidentified', 'future']
        .map((name) => ({ name, value: metrics.filter((metric) => metric.name === name).reduce((sum, one) => sum + one.value, 0) }))
        .filter(({ value: count }) => count > 0),
      health: this.#correlator.health,
    };
  }
}

function nothing() {
  return { findings: [], problems: [] };
}

/** A function from offsets, which only grow, to lines. */
function locator(bytes, first) {
  let [at, line] = [0, first];
  return (offset) => {
    if (offset < at) [at, line] = [0, first];
    for (let next = bytes.indexOf(LF, at); next !== -1 && next < offset; next = bytes.indexOf(LF, at)) {
      at = next + 1;
      line += 1;
    }
    return line;
  };
}

function excerpt(bytes, start, end) {
  const cut = Math.min(end, start + EXCERPT);
  return new TextDecoder().decode(bytes.subarray(start, cut)) + (cut < end ? '…' : '');
}
