import { isObject, same } from './json.ts';

/**
 * A patch that cannot be applied. `status` is the answer that kube-apiserver gives: 400 for a patch that is malformed in
 * itself, 422 for one that does not fit the document, 500 where it lets its own error through.
 */
export class PatchError extends Error {
  override readonly name = 'PatchError';
  readonly status: 400 | 422 | 500;

  constructor(status: 400 | 422 | 500, message: string) {
    super(message);
    this.status = status;
  }
}

type Operation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'move' | 'copy'; readonly path: string; readonly from: string };

type Container = unknown[] | Record<string, unknown>;

/**
 * The document after all operations (RFC 6902), or PatchError and no change at all. Neither argument is written to; the
 * result shares their unchanged parts. Where kube-apiserver's library is laxer than the RFC, so is this: an absent member
 * of an object reads as null (so `replace` and `copy` of it succeed, and it tests equal to null), a missing value is
 * null, and a negative index counts from the end. 'from' as a prefix of 'path' and indexes such as 01 stay errors.
 */
export function applyJsonPatch(document: unknown, operations: readonly unknown[]): unknown {
  if (!Array.isArray(operations)) throw new PatchError(400, 'a JSON patch is a list of operations');
  return operations.map(parseOperation).reduce(applyOperation, document);
}

function applyOperation(document: unknown, operation: Operation): unknown {
  const path = tokensOf(operation.path);
  switch (operation.op) {
    case 'add':
      return add(document, path, operation.value, operation);
    case 'remove':
      return remove(document, path, operation);
    case 'replace':
      return replace(document, path, operation.value, operation);
    case 'move': {
      const from = tokensOf(operation.from);
      if (path.length > from.length && from.every((token, at) => token === path[at])) {
        throw unfit(operation, `"${operation.from}" cannot move into itself`);
      }
      const value = valueAt(document, from, operation);
      return add(remove(document, from, operation), path, value, operation);
    }
    case 'copy':
      return add(document, path, valueAt(document, tokensOf(operation.from), operation), operation);
    case 'test':
      return test(document, path, operation.value, operation);
    default:
      return operation satisfies never;
  }
}

function parseOperation(operation: unknown, index: number): Operation {
  const where = `operation ${index} of the JSON patch`;
  if (typeof operation !== 'object' || operation === null || Array.isArray(operation)) {
    throw new PatchError(400, `${where} is not an object`);
  }
  const { op, path, from, value } = operation as Readonly<Record<string, unknown>>;
  if (typeof path !== 'string') throw new PatchError(422, `${where} has no path`);
  switch (op) {
    case 'add':
    case 'replace':
    case 'test':
      return { op, path, value: value ?? null };
    case 'remove':
      return { op, path };
    case 'move':
    case 'copy':
      if (typeof from !== 'string') throw new PatchError(422, `${where}: "${op}" needs from`);
      return { op, path, from };
    default:
      throw new PatchError(422, `${where}: unknown op ${JSON.stringify(op)}`);
  }
}

/** Reference tokens of a JSON pointer (RFC 6901): '' is the whole document, ~1 is / and ~0 is ~. */
function tokensOf(pointer: string): readonly string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw new PatchError(422, `"${pointer}" is not a JSON pointer: it starts with /`);
  return pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function add(document: unknown, path: readonly string[], value: unknown, operation: Operation): unknown {
  return edit(document, path, operation, (parent, token) => {
    if (!Array.isArray(parent)) define(parent, token, value);
    else parent.splice(token === '-' ? parent.length : indexIn(token, parent.length + 1, operation), 0, value);
  });
}

function remove(document: unknown, path: readonly string[], operation: Operation): unknown {
  return edit(document, path, operation, (parent, token) => {
    if (Array.isArray(parent)) parent.splice(indexIn(token, parent.length, operation), 1);
    else if (!Object.hasOwn(parent, token)) throw unfit(operation, `there is no "${token}"`);
    else delete parent[token];
  });
}

function replace(document: unknown, path: readonly string[], value: unknown, operation: Operation): unknown {
  if (path.length === 0) {
    if (typeof value !== 'object' || value === null) throw unfit(operation, 'a document is an object or a list');
    return value;
  }
  return edit(document, path, operation, (parent, token) => {
    set(parent, token, value, operation);
  });
}

function test(document: unknown, path: readonly string[], expected: unknown, operation: Operation): unknown {
  if (!same(valueAt(document, path, operation), expected)) throw unfit(operation, 'the value is another one');
  return document;
}

/** Copies the way down to the parent of `path` and lets `change` write to that copy. */
function edit(
  document: unknown,
  path: readonly string[],
  operation: Operation,
  change: (parent: Container, token: string) => void,
): unknown {
  const [token, ...rest] = path;
  if (token === undefined) throw unfit(operation, 'the whole document can only be replaced or tested');
  const copy = containerOf(document, operation);
  if (rest.length === 0) change(copy, token);
  else set(copy, token, edit(memberOf(copy, token, operation), rest, operation, change), operation);
  return copy;
}

function valueAt(document: unknown, path: readonly string[], operation: Operation): unknown {
  return path.reduce((value: unknown, token) => {
    if (!Array.isArray(value) && !isObject(value)) throw unfit(operation, `nothing is below ${JSON.stringify(value)}`);
    return memberOf(value, token, operation);
  }, document);
}

function memberOf(parent: Readonly<Container>, token: string, operation: Operation): unknown {
  if (Array.isArray(parent)) return parent[indexIn(token, parent.length, operation)];
  return Object.hasOwn(parent, token) ? (parent as Readonly<Record<string, unknown>>)[token] : null;
}

function set(parent: Container, token: string, value: unknown, operation: Operation): void {
  if (Array.isArray(parent)) parent[indexIn(token, parent.length, operation)] = value;
  else define(parent, token, value);
}

function containerOf(value: unknown, operation: Operation): Container {
  if (Array.isArray(value)) return [...value];
  if (isObject(value)) return Object.fromEntries(Object.entries(value));
  throw unfit(operation, `nothing is below ${JSON.stringify(value)}`);
}

// Assignment would take a member named __proto__ as the object's prototype.
const define = (object: Record<string, unknown>, key: string, value: unknown): Record<string, unknown> =>
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });

function indexIn(token: string, length: number, operation: Operation): number {
  if (!/^(0|-?[1-9][0-9]*)$/.test(token)) throw unfit(operation, `"${token}" is not an index of a list`);
  const index = Number(token);
  const found = index < 0 ? index + length : index;
  if (found < 0 || found >= length) throw unfit(operation, `index ${token} is out of range`);
  return found;
}

const unfit = ({ op, path }: Operation, why: string): PatchError =>
  new PatchError(422, `the JSON patch does not apply: ${op} ${JSON.stringify(path)}: ${why}`);
