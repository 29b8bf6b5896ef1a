/** The string formats of CRD schemas (k8s.io/kube-openapi strfmt). What is not listed means nothing, as in Kubernetes. */
import { isIP, isIPv4, isIPv6 } from 'node:net';

/** Whether a text has a format; undefined: the format is unknown and checks nothing. */
export function hasFormat(format: string, text: string): boolean | undefined {
  const check = checks[format.replace(/^date-time$/, 'datetime')];
  return check?.(text);
}

/** A Go duration ('1h30m', '-1.5s', '0') or a Scala one ('5 minutes') in ms; undefined for any other text. */
export function durationMs(text: string): number | undefined {
  return goDurationMs(text) ?? scalaDurationMs(text);
}

/** A Go duration in ms; undefined for any other text. */
export function goDurationMs(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  if (!/^[+-]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  const parts = text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g);
  const sum = [...parts].reduce((ms, [, number, unit]) => ms + Number(number) * (goUnits[unit ?? ''] ?? 0), 0);
  return text.startsWith('-') ? -sum : sum;
}

const goUnits: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const scalaUnits: readonly (readonly [pattern: RegExp, ms: number])[] = [
  [/^(ns|nano.*)$/i, 1e-6],
  [/^(us|µs|micro.*)$/i, 1e-3],
  [/^(ms|milli.*)$/i, 1],
  [/^(s|sec.*)$/i, 1000],
  [/^(m|min.*)$/i, 60_000],
  [/^(h|hr|hour.*)$/i, 3_600_000],
  [/^(d|day.*)$/i, 86_400_000],
  [/^(w|wk|week.*)$/i, 604_800_000],
];

function scalaDurationMs(text: string): number | undefined {
  const parts = [...text.matchAll(/(\d+)\s*([A-Za-zµ]+)/g)].flatMap(([, number, unit]) => {
    const found = scalaUnits.find(([pattern]) => pattern.test(unit ?? ''));
    return found === undefined ? [] : [Number(number) * found[1]];
  });
  return parts.length === 0 ? undefined : parts.reduce((sum, ms) => sum + ms, 0);
}

const matches = (pattern: RegExp) => (text: string) => pattern.test(text);
const shortName = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const uuid = (version: string, variant = '[0-9a-f]') =>
  matches(new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?${variant}[0-9a-f]{3}-?[0-9a-f]{12}$`, 'i'));

const checks: Readonly<Record<string, (text: string) => boolean>> = {
  byte: matches(/^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/),
  cidr: isCidr,
  date: isDate,
  datetime: isDateTime,
  duration: (text) => durationMs(text) !== undefined,
  email: matches(/^(.*<[^<>\s@]+@[^<>\s@]+>|[^<>\s@]+@[^<>\s@]+)$/),
  hexcolor: matches(/^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$/),
  hostname: isHostname,
  ipv4: isIPv4,
  ipv6: (text) => isIPv6(text) && !text.includes('%'),
  'k8s-long-name': (text) => text.length <= 253 && new RegExp(`^${shortName}([.]${shortName})*$`).test(text),
  'k8s-short-name': (text) => text.length <= 63 && new RegExp(`^${shortName}$`).test(text),
  mac: matches(
    /^([0-9a-f]{2}([:-])([0-9a-f]{2}\2){4}([0-9a-f]{2}\2[0-9a-f]{2}\2)?[0-9a-f]{2}|([0-9a-f]{4}\.){2,3}[0-9a-f]{4})$/i,
  ),
  password: () => true,
  uri: (text) => /^\//.test(text) || (/^[a-z][a-z0-9+.-]*:./i.test(text) && !/[\s<>"]/.test(text)),
  uuid: uuid('[0-9a-f]'),
  uuid3: uuid('3'),
  uuid4: uuid('4', '[89ab]'),
  uuid5: uuid('5', '[89ab]'),
};

function isCidr(text: string): boolean {
  const [ip, bits, ...more] = text.split('/');
  const family = isIP(ip ?? '');
  if (family === 0 || bits === undefined || more.length > 0 || !/^\d{1,3}$/.test(bits)) return false;
  return Number(bits) <= (family === 4 ? 32 : 128);
}

function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

function isDateTime(text: string): boolean {
  const [date, time] = text.toLowerCase().split('t');
  const parts = /^(\d{2}):(\d{2}):(\d{2})(.\d+)?(z|[+-]\d{2}:\d{2})$/.exec(time ?? '');
  if (parts === null || !isDate(date ?? '')) return false;
  return Number(parts[1]) <= 23 && Number(parts[2]) <= 59 && Number(parts[3]) <= 59;
}

function isHostname(text: string): boolean {
  const labels = text.split('.');
  if (text.length > 255 || labels.some((label) => label.length > 63)) return false;
  const label = /^[a-zA-Z0-9\p{S}\p{L}]([a-zA-Z0-9\p{S}\p{L}-]*[a-zA-Z0-9\p{S}\p{L}])?$/u;
  return (
    labels.every((one) => label.test(one)) && (labels.length === 1 || /^[a-zA-Z\p{L}]{2,}$/u.test(labels.at(-1) ?? ''))
  );
}
