/** The small parts of a Table that several printers need. */

/** One column definition; `wide` columns show with `-o wide` only. */
export interface Column {
  readonly name: string;
  /** 'string' unless said. */
  readonly type?: string;
  readonly format?: string;
  readonly description: string;
  readonly wide?: true;
  readonly priority?: number;
}

export interface Row {
  readonly cells: readonly unknown[];
  /** Only of pods that have ended. */
  readonly conditions?: readonly object[];
}

/** How a kind is shown; `now` is in ms since 1970. */
export interface Printer {
  readonly columns: readonly Column[];
  readonly row: (object: object, now: number) => Row;
}

/** Time since an RFC 3339 time stamp, as kubectl shows ages; '<unknown>' without one. */
export function since(timestamp: unknown, now: number): string {
  if (typeof timestamp !== 'string' || timestamp === '') return '<unknown>';
  const then = Date.parse(timestamp);
  return Number.isNaN(then) ? '<invalid>' : humanDuration(now - then);
}

/** Age of an object. */
export const ago = (object: { readonly metadata: { readonly creationTimestamp?: string } }, now: number): string =>
  since(object.metadata.creationTimestamp, now);

/** At most two units, the coarser the longer (HumanDuration of k8s.io/apimachinery): 119s, 2m, 9m59s, 3h, 7h1m, 47h, 2d. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (days < 8) return two(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  return days < 365 * 8 ? two(years, 'y', days % 365, 'd') : `${years}y`;
}

const two = (large: number, unit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${large}${unit}` : `${large}${unit}${small}${smallUnit}`;

export const orNone = (text: string): string => (text === '' ? '<none>' : text);

/** One member of each item, with commas. */
export function names(items: unknown, member: string): string {
  return Array.isArray(items) ? items.map((item) => item?.[member] ?? '').join(',') : '';
}

interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** A LabelSelector as the command line writes it: 'app=a,tier in (x,y)', by key; '' selects all. */
export function selectorText(selector: {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly Requirement[];
}): string {
  const equal = Object.entries({ ...selector?.matchLabels }).map(([key, value]) => ({ key, text: `${key}=${value}` }));
  const others = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }) => ({
    key,
    text: requirementText(key, operator, [...values].sort().join(',')),
  }));
  return [...equal, ...others]
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ text }) => text)
    .join(',');
}

function requirementText(key: string, operator: string, values: string): string {
  switch (operator) {
    case 'In':
      return `${key} in (${values})`;
    case 'NotIn':
      return `${key} notin (${values})`;
    case 'DoesNotExist':
      return `!${key}`;
    default:
      return key;
  }
}
