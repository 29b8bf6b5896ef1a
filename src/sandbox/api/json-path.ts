/** One step of a path: a member, an element (negative: from the end), all of them, or those whose member equals a value. */
type Step =
  | { readonly name: string }
  | { readonly index: number }
  | { readonly each: true }
  | { readonly where: readonly string[]; readonly equals: string | number | boolean };

/**
 * The values that a JSON path of a CRD's printer column or scale subresource selects, in order; none where a step finds
 * nothing. Known: `.a.b`, `.a\.b`, `['a\.b']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`. As in Kubernetes a dot that is not
 * escaped separates in quotes too. Throws a RangeError for anything else.
 */
export function jsonPath(path: string): (value: unknown) => readonly unknown[] {
  const steps = stepsOf(path);
  return (value) =>
    steps.reduce((values: readonly unknown[], step) => values.flatMap((one) => take(one, step)), [value]);
}

const grammar =
  /\.(?<name>(?:[^.[\]\\]|\\.)+)|\['(?<quoted>[^']*)'\]|\[(?<index>-?\d+)\]|(?<each>\[\*\]|\.\*)|\[\?\(@(?<where>(?:\.[A-Za-z0-9_-]+)+) *== *(?<equals>"[^"]*"|'[^']*'|-?\d+|true|false)\)\]|(?<root>^\.$)/y;

function stepsOf(path: string): readonly Step[] {
  const steps: Step[] = [];
  const pattern = new RegExp(grammar);
  while (pattern.lastIndex < path.length) {
    const at = pattern.lastIndex;
    const found = pattern.exec(path)?.groups;
    if (found === undefined)
      throw new RangeError(`${JSON.stringify(path)}: cannot read ${JSON.stringify(path.slice(at))}`);
    if (found['root'] === undefined) steps.push(...stepsFor(found));
  }
  return steps;
}

function stepsFor(found: Readonly<Record<string, string | undefined>>): readonly Step[] {
  const { quoted } = found;
  if (quoted === undefined) return [stepOf(found)];
  return quoted.split(/(?<!\\)\./).map((name) => ({ name: name.replace(/\\(.)/g, '$1') }));
}

function stepOf(found: Readonly<Record<string, string | undefined>>): Step {
  const { name, index, where, equals } = found;
  if (name === '*' || found['each'] !== undefined) return { each: true };
  if (name !== undefined) return { name: name.replace(/\\(.)/g, '$1') };
  if (index !== undefined) return { index: Number(index) };
  return { where: (where ?? '').slice(1).split('.'), equals: JSON.parse((equals ?? '').replaceAll("'", '"')) };
}

function take(value: unknown, step: Step): readonly unknown[] {
  if ('name' in step) return member(value, step.name);
  if ('each' in step) return elements(value);
  if ('index' in step) return Array.isArray(value) && value.at(step.index) !== undefined ? [value.at(step.index)] : [];
  return elements(value).filter((element) => {
    const found = step.where.reduce(
      (values: readonly unknown[], name) => values.flatMap((one) => member(one, name)),
      [element],
    );
    return found[0] === step.equals;
  });
}

function member(value: unknown, name: string): readonly unknown[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) return [];
  return [(value as Readonly<Record<string, unknown>>)[name]];
}

function elements(value: unknown): readonly unknown[] {
  return typeof value === 'object' && value !== null ? Object.values(value) : [];
}
