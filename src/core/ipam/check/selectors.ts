import type { LabelSelector } from '../../objects.ts';
import { duplicates, type Finding, quoted } from '../problem.ts';

type Expression = NonNullable<LabelSelector['matchExpressions']>[number];

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'];
const namePart = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** What is wrong in a list of label selectors, of which any may match (LabelSelector API). */
export function checkSelectors(field: string, selectors: readonly LabelSelector[] | undefined): readonly Finding[] {
  const list = selectors ?? [];
  const texts = list.map(canonical);
  return list.flatMap((selector, index) => {
    const at = `${field}[${index}]`;
    const first = texts.indexOf(texts[index] as string);
    const again = `selects what ${field}[${first}] selects; leave one out`;
    return [...checkSelector(at, selector), ...(first === index ? [] : [{ field: at, text: again }])];
  });
}

/** What is wrong in one label selector, of which all parts must match. */
export function checkSelector(field: string, selector: LabelSelector): readonly Finding[] {
  const expressions = selector.matchExpressions ?? [];
  const texts = expressions.map(canonicalExpression);
  return [
    ...Object.entries(selector.matchLabels ?? {}).flatMap(([key, value]) => [
      ...checkKey(`${field}.matchLabels`, key),
      ...checkValue(`${field}.matchLabels[${quoted(key)}]`, value),
    ]),
    ...expressions.flatMap((expression, index) => {
      const at = `${field}.matchExpressions[${index}]`;
      const first = texts.indexOf(texts[index] as string);
      const again = `is ${field}.matchExpressions[${first}] once more; leave one out`;
      return [...checkExpression(at, expression), ...(first === index ? [] : [{ field: at, text: again }])];
    }),
  ];
}

function checkExpression(field: string, { key, operator, values = [] }: Expression): readonly Finding[] {
  const known = operators.includes(operator);
  const wantsValues = operator === 'In' || operator === 'NotIn';
  const findings: Finding[] = [...checkKey(`${field}.key`, key ?? '')];
  if (!known)
    findings.push({ field: `${field}.operator`, text: `${quoted(operator)} must be one of ${operators.join(', ')}` });
  if (wantsValues && values.length === 0)
    findings.push({ field: `${field}.values`, text: `is empty; ${operator} needs at least one value` });
  if (known && !wantsValues && values.length > 0)
    findings.push({
      field: `${field}.values`,
      text: `${quoted(values)} must be left out; ${operator} asks for the key alone`,
    });
  return [
    ...findings,
    ...values.flatMap((value, index) => checkValue(`${field}.values[${index}]`, value)),
    ...duplicates(`${field}.values`, values),
  ];
}

function checkKey(field: string, key: string): readonly Finding[] {
  const slash = key.indexOf('/');
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const isPrefix = prefix === undefined || (prefix.length <= 253 && subdomain.test(prefix));
  if (isPrefix && namePart.test(key.slice(slash + 1))) return [];
  return [{ field, text: `${quoted(key)} is not a label key such as zone or example.com/zone` }];
}

function checkValue(field: string, value: string): readonly Finding[] {
  if (value === '' || namePart.test(value)) return [];
  return [
    {
      field,
      text: `${quoted(value)} is not a label value: up to 63 letters, digits, ".", "_" and "-", a letter or digit at both ends`,
    },
  ];
}

/** Equal for selectors that MetalLB takes for the same: the order of values means nothing, that of expressions does. */
export function canonical({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const labels = Object.entries(matchLabels).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([labels, matchExpressions.map(canonicalExpression)]);
}

function canonicalExpression({ key, operator, values = [] }: Expression): string {
  return JSON.stringify([key, operator, [...values].sort()]);
}
