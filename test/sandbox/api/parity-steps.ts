/** Requests as data, and how their answers are made comparable between two API servers. */
import type { Transport } from '../../../src/kube/request.ts';

export interface Step {
  readonly method: string;
  readonly path: string | ((seen: Seen) => string);
  readonly body?: unknown | ((seen: Seen) => unknown);
  readonly type?: string;
  readonly accept?: string;
  /** Watches: so many events are read, then it is closed. */
  readonly events?: number;
}
/** Answers so far, the first being 0. */
export type Seen = readonly { readonly status: number; readonly body: Json }[];
// biome-ignore lint/suspicious/noExplicitAny: answers of any kind are read into
export type Json = any;

export interface Scenario {
  readonly name: string;
  readonly steps: readonly Step[];
}

const types = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

type Path = Step['path'];
export const get = (path: Path, accept?: string): Step => ({
  method: 'GET',
  path,
  ...(accept === undefined ? {} : { accept }),
});
export const post = (path: Path, body: Step['body'], type = 'application/json'): Step => ({
  method: 'POST',
  path,
  body,
  type,
});
export const put = (path: Path, body: Step['body']): Step => ({ method: 'PUT', path, body, type: 'application/json' });
export const patch = (kind: keyof typeof types, path: Path, body: Step['body']): Step => ({
  method: 'PATCH',
  path,
  body,
  type: types[kind],
});
export const del = (path: Path, body?: Step['body']): Step => ({
  method: 'DELETE',
  path,
  ...(body === undefined ? {} : { body, type: 'application/json' }),
});
export const watch = (path: Path, events: number): Step => ({ method: 'GET', path, events });

/** The comparable answers of a scenario. */
export async function run(transport: Transport, { steps }: Scenario): Promise<readonly Json[]> {
  const seen: { status: number; body: Json }[] = [];
  const names = new Names();
  const answers: Json[] = [];
  for (const step of steps) {
    const answer = await send(transport, step, seen);
    seen.push(answer);
    answers.push({
      ask: askOf(step, seen),
      status: answer.status,
      ...(answer.warning === undefined ? {} : { warning: answer.warning }),
      body: names.comparable(answer.body),
    });
  }
  return answers;
}

const askOf = ({ method, path }: Step, seen: Seen): string =>
  typeof path === 'string'
    ? `${method} ${path}`
    : `${method} ${path(seen)
        .replace(/\d{2,}/g, 'N')
        .replace(/[A-Za-z0-9_-]{40,}/g, 'TOKEN')}`;

async function send(
  transport: Transport,
  step: Step,
  seen: Seen,
): Promise<{ status: number; body: Json; warning?: string }> {
  const { method, type, accept, events } = step;
  const path = typeof step.path === 'function' ? step.path(seen) : step.path;
  const body = typeof step.body === 'function' ? step.body(seen) : step.body;
  const abort = new AbortController();
  const limit = setTimeout(() => abort.abort(new Error(`no answer within 20 s: ${method} ${path}`)), 20_000);
  try {
    const response = await transport.send({
      method,
      path,
      headers: {
        'user-agent': 'parity/1.0',
        accept: accept ?? 'application/json',
        ...(type === undefined ? {} : { 'content-type': type }),
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: abort.signal,
      ...(events === undefined ? {} : { stream: true }),
    });
    const text = await read(response.body, events);
    const warning = response.headers['warning'];
    return { status: response.status, body: parsed(text, events), ...(warning === undefined ? {} : { warning }) };
  } finally {
    clearTimeout(limit);
    abort.abort(new Error('done'));
  }
}

async function read(body: AsyncIterable<unknown>, events: number | undefined): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += String(chunk);
    if (events !== undefined && text.split('\n').length > events) break;
  }
  return text;
}

function parsed(text: string, events: number | undefined): Json {
  if (events === undefined) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text
    .split('\n')
    .filter((line) => line !== '')
    .slice(0, events)
    .map((line) => JSON.parse(line));
}

/** What a server may order as it likes: owners of one second, problems of one object, and their sum in words. */
function settled(key: string, value: Json): Json {
  if (key === 'managedFields' && Array.isArray(value)) {
    const name = ({ manager, operation, subresource = '', apiVersion }: Json): string =>
      `${operation} ${manager} ${subresource} ${apiVersion}`;
    return [...value].sort((a, b) => (name(a) < name(b) ? -1 : 1));
  }
  if (value?.kind === 'Status' && value.details?.causes?.length > 1) {
    const causes = [...value.details.causes].sort((a: Json, b: Json) =>
      `${a.field}${a.message}` < `${b.field}${b.message}` ? -1 : 1,
    );
    return {
      ...value,
      message: value.message.replace(/ is invalid: .*/s, ' is invalid: ...'),
      details: { ...value.details, causes },
    };
  }
  // Columns are explained in our own words.
  if (value?.kind === 'Table')
    return {
      ...value,
      columnDefinitions: value.columnDefinitions.map(({ description: _words, ...column }: Json) => column),
    };
  return value;
}

/** Words of Go that we do not repeat: its JSON parser's, names of its string types, prints of its structs and their differences. */
function unspoken(text: string): string {
  return text
    .replace(/json parse error: (?!json:).*/s, 'json parse error: ...')
    .replace(/ \(5b5d\)$/, '')
    .replace(/of type v1\.ServiceType/, 'of type string')
    .replace(/(continue key is not valid).*/s, '$1')
    .replace(/(Invalid value: )\[\{.*\}\](?=: must have exactly one)/s, '$1...')
    .replace(/(if it was previously negative\))\n.*/s, '$1')
    .replace(/(patch: )?Invalid value: "\{\\".*\}"(?=: )/s, '$1Invalid value: ...');
}

/** What differs between two runs gets a name: the same value the same name, so that identities stay comparable. */
class Names {
  readonly #known = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  comparable(body: Json): Json {
    return sorted(this.#walk(body, []));
  }

  #walk(given: Json, path: readonly string[]): Json {
    const key = path.at(-1) ?? '';
    const value = settled(key, given);
    if (Array.isArray(value)) return value.map((item) => this.#walk(item, [...path, '[]']));
    if (value !== null && typeof value === 'object') {
      // A list's own version moves with every write of anybody.
      const isList = Array.isArray(value.items) || Array.isArray(value.rows);
      return Object.fromEntries(
        Object.entries(value).map(([name, item]) => [
          name,
          isList && name === 'metadata' ? this.#listMeta(item) : this.#walk(item, [...path, name]),
        ]),
      );
    }
    if (typeof value === 'string') return this.#text(key, value, path);
    if (
      typeof value === 'number' &&
      (key === 'nodePort' || key === 'healthCheckNodePort') &&
      value >= 30_000 &&
      value <= 32_767
    )
      return this.#name('port', String(value));
    return value;
  }

  #listMeta(value: Json): Json {
    const { resourceVersion, continue: token, ...rest } = value;
    return {
      ...rest,
      ...(resourceVersion === undefined ? {} : { resourceVersion: 'list-version' }),
      ...(token ? { continue: 'token' } : token === '' ? { continue: '' } : {}),
    };
  }

  #text(key: string, value: string, path: readonly string[]): string {
    if (key === 'uid' && /^[0-9a-f-]{36}$/.test(value)) return this.#name('uid', value);
    if (key === 'resourceVersion' && /^\d+$/.test(value)) return this.#name('version', value);
    if (/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) && !path.includes('spec') && !value.startsWith('2020')) return 'time';
    return this.#replaced(value);
  }

  /** Inside messages, too. */
  #replaced(value: string): string {
    let text = unspoken(value);
    for (const [raw, name] of this.#known) if (raw.length > 4) text = text.replaceAll(raw, name);
    text = text.replaceAll(/\b10\.96\.\d{1,3}\.\d{1,3}\b/g, (address) =>
      address === '10.96.0.0' || address === '10.96.0.1' ? address : this.#name('address', address),
    );
    text = text.replaceAll(/\bfd00:10:96::[0-9a-f]{1,4}\b/g, (address) => this.#name('address', address));
    text = text.replaceAll(/(?<=[gG]en-)[bcdfghjklmnpqrstvwxz2456789]{5}\b/g, 'xxxxx');
    text = text.replaceAll(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, (at) => (at.startsWith('2020') ? at : 'time'));
    text = text.replaceAll(/(in record \()\d+(?=\))/g, '$1N');
    return text.replaceAll(/\\?"resourceVersion\\?":\\?"\d+\\?"/g, 'VERSION').replaceAll(/(current: )\d+/g, '$1N');
  }

  #name(kind: string, raw: string): string {
    const known = this.#known.get(raw);
    if (known !== undefined) return known;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    const name = `${kind}-${count}`;
    this.#known.set(raw, name);
    return name;
  }
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}
