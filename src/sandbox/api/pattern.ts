/**
 * A regular expression of Go (RE2 syntax) as JavaScript's, unanchored. Throws a RangeError for what JavaScript does not
 * have, and for what RE2 refuses: look-around and back references.
 */
export function patternOf(pattern: string): RegExp {
  const known = cache.get(pattern);
  if (known !== undefined) return known;
  const compiled = compile(pattern);
  cache.set(pattern, compiled);
  return compiled;
}

const cache = new Map<string, RegExp>(); // pattern -> its expression

function compile(pattern: string): RegExp {
  if (/\(\?(<?[=!])|\\[1-9]/.test(pattern.replace(/\\\\/g, ''))) {
    throw new RangeError(`pattern ${JSON.stringify(pattern)}: look-around and back references do not exist in RE2`);
  }
  const flags = /^\(\?([ims]+)\)/.exec(pattern);
  const source = (flags === null ? pattern : pattern.slice(flags[0].length))
    .replace(/\\[AzZ]/g, (anchor) => (anchor === '\\A' ? '^' : '$'))
    .replace(/\(\?P</g, '(?<')
    .replace(/\[:(\^?)(\w+):\]/g, (_, not: string, name: string) => `${not === '' ? '' : '^'}${posix(name, pattern)}`);
  try {
    return new RegExp(source, `u${flags?.[1] ?? ''}`);
  } catch {
    // RE2 allows escapes such as \- and \_ that the u flag does not.
    try {
      return new RegExp(source, flags?.[1] ?? '');
    } catch (error) {
      throw new RangeError(`pattern ${JSON.stringify(pattern)}: ${(error as Error).message}`, { cause: error });
    }
  }
}

function posix(name: string, pattern: string): string {
  const found = posixClasses[name];
  if (found === undefined) throw new RangeError(`pattern ${JSON.stringify(pattern)}: unknown class [:${name}:]`);
  return found;
}

const posixClasses: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  digit: '0-9',
  lower: 'a-z',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
};
