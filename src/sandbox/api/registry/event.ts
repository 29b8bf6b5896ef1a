import type { Rules } from '../admit.ts';
import { type FieldError, invalid, required } from '../invalid.ts';
import { at, type Draft, type JsonObject, same } from '../json.ts';
import { text } from '../selectors.ts';
import { dnsSubdomain, pathSegment, qualifiedName } from '../words.ts';

const involved = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'] as const;

/** `strict`: asked for through events.k8s.io, which takes nothing that only the old API has. */
export function eventRules(strict: boolean): Rules {
  return {
    createOnUpdate: true,
    uncollected: true,
    fields: {
      ...Object.fromEntries(involved.map((member) => [`involvedObject.${member}`, text('involvedObject', member)])),
      reason: text('reason'),
      reportingComponent: text('reportingComponent'),
      source: (object) => String(at(object, 'source', 'component') ?? object['reportingComponent'] ?? ''),
      type: text('type'),
    },
    nameErrors: strict ? dnsSubdomain : pathSegment,
    validate: (draft, old) => [...eventErrors(draft, strict), ...(strict ? strictErrors(draft, old) : [])],
  };
}

const unset = (value: unknown): boolean => value === undefined || value === null || value === '';

function eventErrors(draft: Draft, strict: boolean): readonly FieldError[] {
  const { namespace = '' } = draft.metadata;
  const regarding = String(at(draft, 'involvedObject', 'namespace') ?? '');
  const astray = invalid('involvedObject.namespace', regarding, 'does not match event.namespace');
  if (unset(draft['eventTime'])) {
    const matches = regarding === '' ? namespace === 'default' : regarding === namespace;
    return matches ? [] : [astray];
  }
  const controller = strict ? 'reportingController' : 'reportingComponent';
  const errors: FieldError[] =
    regarding === '' && namespace !== 'default' && namespace !== 'kube-system' ? [astray] : [];
  const reporting = String(draft['reportingComponent'] ?? '');
  if (reporting === '') errors.push(required(controller));
  for (const message of qualifiedName(reporting)) errors.push(invalid(controller, reporting, message));
  for (const [member, most] of [
    ['reportingInstance', 128],
    ['action', 128],
    ['reason', 128],
    ['message', 1024],
  ] as const) {
    const value = String(draft[member] ?? '');
    if (value === '' && member !== 'message') errors.push(required(member));
    if (Buffer.byteLength(value) > most) errors.push(invalid(member, '', `can have at most ${most} characters`));
  }
  return errors;
}

function strictErrors(draft: Draft, old: Draft | undefined): readonly FieldError[] {
  if (old !== undefined)
    return [
      'involvedObject',
      'reason',
      'message',
      'source',
      'firstTimestamp',
      'lastTimestamp',
      'count',
      'type',
      'eventTime',
      'action',
      'related',
      'reportingComponent',
      'reportingInstance',
    ]
      .filter((member) => !same(draft[member], old[member]))
      .map((member) =>
        invalid(member === 'reportingComponent' ? 'reportingController' : member, draft[member], 'field is immutable'),
      );
  const errors: FieldError[] = [];
  if (unset(draft['eventTime'])) errors.push(required('eventTime'));
  if (draft['type'] !== 'Normal' && draft['type'] !== 'Warning')
    errors.push(invalid('type', '', `has invalid value: ${String(draft['type'] ?? '')}`));
  for (const member of ['firstTimestamp', 'lastTimestamp', 'count'] as const)
    if (!unset(draft[member])) errors.push(invalid(member, '', 'needs to be unset'));
  if (!unset(at(draft, 'source', 'component')) || !unset(at(draft, 'source', 'host')))
    errors.push(invalid('source', '', 'needs to be unset'));
  return errors;
}

/** events.k8s.io/v1 to core/v1 names. */
const renamed: readonly (readonly [events: string, core: string])[] = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
];

/** An event as the other API has it; both are one object. */
export const toCoreEvent = (event: JsonObject): JsonObject => rename(event, new Map(renamed));
export const fromCoreEvent = (event: JsonObject): JsonObject =>
  rename(event, new Map(renamed.map(([events, core]) => [core, events])));

function rename(event: JsonObject, names: ReadonlyMap<string, string>): JsonObject {
  return Object.fromEntries(Object.entries(event).map(([member, value]) => [names.get(member) ?? member, value]));
}
