import fc from 'fast-check';
import type { Element, ElementChange, Registers, TableFamily } from '../../../src/core/net/element.ts';
import { rulesetText } from '../../../src/core/proxy/ruleset.ts';
import { bytesOf, type Field, SETS, type SetName, type SetSchema, setsOf } from '../../../src/core/proxy/schema.ts';

/** The rules of both tables, with no chains for counts. */
export const rulesText: string = (['ip', 'ip6'] as const)
  .map((family) =>
    rulesetText({
      family,
      masqueradeAll: false,
      detectLocal: { by: 'cidr' },
      masqueradePods: true,
      chains: [],
      timeouts: [],
    }),
  )
  .join('');

/** `sensible`: adds what is not there, replaces or deletes what is; the others may be refused. */
export type Verb = 'sensible' | 'add' | 'delete' | 'replace';

export interface Step {
  readonly verb: Verb;
  /** One element, or start and end of an interval. */
  readonly elements: readonly Element[];
}

export interface Transaction {
  readonly family: TableFamily;
  readonly steps: readonly Step[];
}

/** Few addresses, so that histories meet themselves. */
const address = (family: TableFamily): fc.Arbitrary<Registers> =>
  fc
    .integer({ min: 1, max: 6 })
    .map((last) =>
      family === 'ip'
        ? `\x0a\x40\x00${String.fromCharCode(last)}`
        : `\xfd\x00${'\0'.repeat(13)}${String.fromCharCode(last)}`,
    );

function field(kind: Field, family: TableFamily): fc.Arbitrary<Registers> {
  switch (kind) {
    case 'address':
      return address(family);
    case 'protocol':
      return fc.constantFrom('\x06\0\0\0', '\x11\0\0\0', '\x84\0\0\0');
    case 'port':
      return fc.constantFrom('\x00\x50\0\0', '\x1f\x90\0\0');
    case 'classid':
      return fc.constantFrom('\0\0\0\0', '\x01\0\0\0', '\x01\x00\x00\x80', '\x02\x80\x01\x00');
    default:
      return kind satisfies never;
  }
}

const registers = (fields: readonly Field[], family: TableFamily): fc.Arbitrary<Registers> =>
  fc.tuple(...fields.map((kind) => field(kind, family))).map((parts) => parts.join(''));

/** One element, or the two of an interval of one field: 16 addresses that start at a multiple of 16. */
function elements(set: SetName, family: TableFamily): fc.Arbitrary<readonly Element[]> {
  const schema: SetSchema = SETS[set];
  if (schema.interval === true && schema.key.length === 1) {
    return fc.integer({ min: 0, max: 5 }).map((block) => {
      const prefix = family === 'ip' ? '\x0a\x41\x00' : `\xfd\x01${'\0'.repeat(13)}`;
      const end = (last: number): Registers => `${prefix}${String.fromCharCode(last)}`;
      return [
        { set, key: end(block * 32) },
        { set, key: end(block * 32 + 16), intervalEnd: true },
      ];
    });
  }
  if (schema.interval === true) {
    const rest = bytesOf(schema.key, family) - bytesOf(['address'], family);
    return registers(schema.key, family).map((key) => [{ set, key, keyEnd: key.slice(0, rest) + key.slice(rest) }]);
  }
  const { data } = schema;
  if (data === undefined) return registers(schema.key, family).map((key) => [{ set, key }]);
  return fc
    .tuple(registers(schema.key, family), registers(data, family))
    .map(([key, value]) => [{ set, key, data: value }]);
}

const verb: fc.Arbitrary<Verb> = fc.oneof(
  { arbitrary: fc.constant('sensible' as const), weight: 30 },
  { arbitrary: fc.constantFrom('add' as const, 'delete' as const, 'replace' as const), weight: 1 },
);

/** Random transactions of both families, most of them good. */
export const histories: fc.Arbitrary<readonly Transaction[]> = fc.array(
  fc.constantFrom('ip' as const, 'ip6' as const).chain((family) =>
    fc.record({
      family: fc.constant(family),
      steps: fc.array(
        fc.constantFrom(...setsOf(family)).chain((set) => fc.record({ verb, elements: elements(set, family) })),
        { minLength: 1, maxLength: 20 },
      ),
    }),
  ),
  { minLength: 6, maxLength: 16 },
);

/** The changes of a transaction, where `has` tells what is there. One key is changed once, but for replacements. */
export function changesOf({ steps }: Transaction, has: (element: Element) => boolean): readonly ElementChange[] {
  const seen = new Set<string>();
  return steps.flatMap(({ verb: said, elements: items }, index) => {
    const [first] = items;
    const id = `${first?.set} ${first?.key}`;
    if (first === undefined || seen.has(id)) return [];
    seen.add(id);
    const as = (op: ElementChange['op']): readonly ElementChange[] => items.map((element) => ({ op, element }));
    const sensible = has(first) ? (index % 2 === 0 ? 'replace' : 'delete') : 'add';
    const what = said === 'sensible' ? sensible : said;
    return what === 'replace' ? [...as('delete'), ...as('add')] : as(what);
  });
}
