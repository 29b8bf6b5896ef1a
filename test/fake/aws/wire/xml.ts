import type { Shape, Struct } from './schema.ts';

/** The members of an output as XML elements, without one around them. Members that are undefined are left out. */
export function writeXml(output: object, { members }: Struct): string {
  let xml = '';
  for (const { name, xmlName, shape } of members) {
    const value = (output as Readonly<Record<string, unknown>>)[name];
    if (value !== undefined) xml += element(xmlName ?? name, value, shape);
  }
  return xml;
}

function element(name: string, value: unknown, shape: Shape): string {
  switch (shape.kind) {
    case 'struct':
      return `<${name}>${writeXml(value as object, shape)}</${name}>`;
    case 'list': {
      const items = value as readonly unknown[];
      return `<${name}>${items.map((item) => element(shape.itemName, item, shape.item)).join('')}</${name}>`;
    }
    case 'timestamp':
      return `<${name}>${(value as Date).toISOString()}</${name}>`;
    default:
      return `<${name}>${escapeXml(String(value))}</${name}>`;
  }
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (char) => entities[char] ?? char);
}
