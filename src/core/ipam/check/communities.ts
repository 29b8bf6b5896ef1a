import type { Community } from '../metallb.ts';
import { type Finding, type Problem, problemOf, quoted } from '../problem.ts';

const forms = '65535:65282 or large:4294967295:1:2';

/** Whether a text is a community in digits: 'yes', the reason why not, or 'no digits' for what may be a name. */
export function literal(text: string): 'yes' | 'no digits' | { readonly problem: string } {
  if (!text.includes(':')) return 'no digits';
  const [head, ...rest] = text.split(':');
  const [parts, bits] = head === 'large' && rest.length === 3 ? [rest, 32] : [text.split(':'), 16];
  if (bits === 16 && parts.length !== 2) return { problem: `${quoted(text)} is not a community such as ${forms}` };
  const wrong = parts.find((part) => !/^\d+$/.test(part) || BigInt(part) >= 1n << BigInt(bits));
  if (wrong === undefined) return 'yes';
  return { problem: `${quoted(text)}: ${quoted(wrong)} must be a number up to ${2 ** bits - 1}` };
}

/** Names of all Community objects; the first definition of a name counts. */
export function checkCommunities(objects: readonly Community[]): {
  readonly names: ReadonlySet<string>;
  readonly problems: readonly Problem[];
} {
  const owners = new Map<string, string>(); // name -> where it is defined
  const problems: Problem[] = [];
  for (const object of objects) {
    for (const [index, { name = '', value = '' }] of (object.spec?.communities ?? []).entries()) {
      const at = `spec.communities[${index}]`;
      const report = (finding: Finding) => problems.push(problemOf('Community', object, finding));
      if (name === '')
        report({ field: `${at}.name`, text: 'is missing; a BGPAdvertisement refers to the community by it' });
      const owner = owners.get(name);
      if (name !== '' && owner !== undefined)
        report({ field: `${at}.name`, text: `${quoted(name)} is defined in ${owner} already` });
      else owners.set(name, `${at} of Community ${object.metadata.name}`);
      const verdict = literal(value);
      if (verdict === 'no digits')
        report({ field: `${at}.value`, text: `${quoted(value)} is not a community such as ${forms}` });
      else if (verdict !== 'yes') report({ field: `${at}.value`, text: verdict.problem });
    }
  }
  return { names: new Set(owners.keys()), problems };
}

/** One entry of a BGPAdvertisement: a community in digits or a name. An unknown name may still come. */
export function checkReference(field: string, text: string, names: ReadonlySet<string>): readonly Finding[] {
  if (names.has(text)) return [];
  const verdict = literal(text);
  if (verdict === 'yes') return [];
  if (verdict !== 'no digits') return [{ field, text: verdict.problem }];
  return [
    {
      field,
      transient: true,
      text: `${quoted(text)} is neither a community such as ${forms} nor a name from a Community object`,
    },
  ];
}
