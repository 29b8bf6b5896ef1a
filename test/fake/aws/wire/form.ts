import { AwsError } from '../error.ts';
import type { Member, Shape, Struct } from './schema.ts';

/** 'elb': `Tags.member.1.Key`; 'ec2': `Filter.1.Name`. */
export type FormStyle = 'elb' | 'ec2';

/** A form's parameters as a tree, by the parts between their dots. */
interface Node {
  value?: string;
  readonly children: Map<string, Node>;
}

/** Not parameters of the operation. */
const ENVELOPE = new Set(['Action', 'Version']);

/** The input that a form stands for. Throws UnknownParameter for what the operation does not have, InvalidParameterValue for what has no such type. */
export function readForm(form: URLSearchParams, input: Struct, style: FormStyle): object {
  const root: Node = { children: new Map() };
  for (const [key, value] of form) {
    if (ENVELOPE.has(key)) continue;
    let node = root;
    for (const part of key.split('.')) {
      const child = node.children.get(part) ?? { children: new Map<string, Node>() };
      node.children.set(part, child);
      node = child;
    }
    node.value = value;
  }
  return readStruct(root, input, style, '');
}

function readStruct(node: Node, { members }: Struct, style: FormStyle, path: string): object {
  const byName = new Map(members.map((member) => [formName(member, style), member]));
  const entries = [...node.children].map(([key, child]) => {
    const member = byName.get(key);
    const at = path === '' ? key : `${path}.${key}`;
    if (member === undefined) throw new AwsError('UnknownParameter', `The parameter ${at} is not recognized`);
    return [member.name, readShape(child, member.shape, style, at)] as const;
  });
  return Object.fromEntries(entries);
}

function formName({ name, queryName, xmlName }: Member, style: FormStyle): string {
  if (style === 'elb') return xmlName ?? name;
  const text = xmlName ?? name;
  return queryName ?? `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

function readShape(node: Node, shape: Shape, style: FormStyle, path: string): unknown {
  switch (shape.kind) {
    case 'struct':
      return readStruct(node, shape, style, path);
    case 'list':
      return readList(node, shape.item, style, path);
    default:
      if (node.value === undefined || node.children.size > 0) throw bad(path, 'a single value is wanted');
      return readSimple(node.value, shape.kind, path);
  }
}

/** An empty list is the name alone, without a value. */
function readList(node: Node, item: Shape, style: FormStyle, path: string): readonly unknown[] {
  if (node.children.size === 0) {
    if (node.value !== '') throw bad(path, 'a list is wanted');
    return [];
  }
  const [items, at] = style === 'ec2' ? [node, path] : [node.children.get('member'), `${path}.member`];
  if (items === undefined) throw bad(path, 'a list is wanted');
  return [...items.children].map(([index, child], position) => {
    if (index !== String(position + 1)) throw bad(`${at}.${index}`, `${position + 1} comes next`);
    return readShape(child, item, style, `${at}.${index}`);
  });
}

function readSimple(text: string, kind: 'string' | 'number' | 'boolean' | 'timestamp', path: string): unknown {
  switch (kind) {
    case 'string':
      return text;
    case 'number':
      if (!/^-?\d+(\.\d+)?$/.test(text)) throw bad(path, `"${text}" is no number`);
      return Number(text);
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw bad(path, `"${text}" is no boolean`);
      return text === 'true';
    case 'timestamp':
      return new Date(text);
    default:
      return kind satisfies never;
  }
}

function bad(path: string, why: string): AwsError {
  return new AwsError('InvalidParameterValue', `${path}: ${why}`);
}
