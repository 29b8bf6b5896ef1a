import { isIP } from 'node:net';

/**
 * What Kubernetes accepts as a name, label or port, with the words in which it refuses (apimachinery's validation
 * packages). Each function returns one message per problem.
 */
const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomain = `${label}(\\.${label})*`;
const keyPart = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const whole = (source: string): RegExp => new RegExp(`^${source}$`);
const patterns = {
  label: whole(label),
  subdomain: whole(subdomain),
  keyPart: whole(keyPart),
  value: whole(`(${keyPart})?`),
};

export function dnsLabel(value: string): readonly string[] {
  const errors = longest(value, 63, 'characters');
  if (patterns.label.test(value)) return errors;
  if (patterns.subdomain.test(value)) return [...errors, 'must not contain dots'];
  const rule =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
  return [...errors, refusal(rule, label, ['my-name', '123-abc'])];
}

/** `unit`: Kubernetes has two wordings for one limit. */
export function dnsSubdomain(value: string, unit: Unit = 'characters'): readonly string[] {
  const errors = longest(value, 253, unit);
  if (patterns.subdomain.test(value)) return errors;
  const rule =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
  return [...errors, refusal(rule, subdomain, ['example.com'])];
}

const keyRule =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const keyExamples = ['MyName', 'my.name', '123-abc'];

/** Keys of labels and annotations, finalizers, load balancer classes: 'name' or 'prefix/name'. */
export function qualifiedName(value: string): readonly string[] {
  const parts = value.split('/');
  if (parts.length > 2)
    return [
      `a valid label key ${refusal(keyRule, keyPart, keyExamples)} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  const name = parts.at(-1) as string;
  const errors: string[] = [];
  const [prefix] = parts;
  if (parts.length === 2) {
    if (prefix === '') errors.push('prefix part must be non-empty');
    else errors.push(...dnsSubdomain(prefix as string, 'bytes').map((message) => `prefix part ${message}`));
  }
  if (name === '') errors.push('name part must be non-empty');
  else errors.push(...longest(name, 63, 'bytes').map((message) => `name part ${message}`));
  if (!patterns.keyPart.test(name)) errors.push(`name part ${refusal(keyRule, keyPart, keyExamples)}`);
  return errors;
}

export function labelValue(value: string): readonly string[] {
  const errors = longest(value, 63, 'bytes');
  if (patterns.value.test(value)) return errors;
  const rule = `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character`;
  return [...errors, refusal(rule, `(${keyPart})?`, ['MyValue', 'my_value', '12345'])];
}

/** A name that can be one step of a URL: all that RBAC kinds and custom resources' registries ask. */
export function pathSegment(value: string): readonly string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`];
  return ['/', '%'].filter((illegal) => value.includes(illegal)).map((illegal) => `may not contain '${illegal}'`);
}

export const portNumber = (port: number): readonly string[] =>
  Number.isInteger(port) && port >= 1 && port <= 65535 ? [] : ['must be between 1 and 65535, inclusive'];

/** IANA_SVC_NAME, RFC 6335: names of container ports. */
export function portName(value: string): readonly string[] {
  const errors: string[] = [];
  if (value.length > 15) errors.push('must be no more than 15 characters');
  if (!/^[-a-z0-9]+$/.test(value))
    errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(value)) errors.push('must contain at least one letter (a-z)');
  if (value.includes('--')) errors.push('must not contain consecutive hyphens');
  if (value !== '' && (value.startsWith('-') || value.endsWith('-')))
    errors.push('must not begin or end with a hyphen');
  return errors;
}

/** 4, 6, or 0 for what is no address. Leading zeros and zones are no address. */
export const familyOf = (address: string): 0 | 4 | 6 => isIP(address) as 0 | 4 | 6;

type Unit = 'bytes' | 'characters';

const longest = (value: string, most: number, unit: Unit): readonly string[] =>
  Buffer.byteLength(value) > most ? [`must be no more than ${most} ${unit}`] : [];

function refusal(rule: string, pattern: string, examples: readonly string[]): string {
  const shown = examples.map((example) => `'${example}', `).join(' or ');
  return `${rule} (e.g. ${shown}regex used for validation is '${pattern}')`;
}
