import { sortedRecord } from '../../../src/core/equal.ts';
import { isRecordKey, recordedKeys, recordTags } from '../attributes.ts';
import type { Desired, Settings, TaggedRef, Tags, Unread } from '../model.ts';
import { LBC_TAG, ownerTags, TAG } from '../names.ts';
import { type Step, step } from './stages.ts';

const THEIRS: ReadonlySet<string> = new Set(Object.values(LBC_TAG));

/** All tags of a part of a Service but the records of its attributes. What says whose it is cannot be overridden. */
export function wantedTags(desired: Desired, settings: Settings, resource: string): Tags {
  return sortedRecord({
    ...settings.defaultTags,
    ...desired.tags,
    ...ownerTags(settings.cluster, desired.uid, resource),
  });
}

/** Towards the wanted tags; tags of AWS, of other clusters, of the reference and of external tools stay. */
export function tagChange(
  wanted: Tags,
  observed: Tags,
  { externalManagedTags }: Pick<Settings, 'externalManagedTags'>,
): { readonly set: Tags; readonly remove: readonly string[] } {
  const isOthers = (key: string): boolean => key.startsWith('aws:') || externalManagedTags.includes(key);
  const isKept = (key: string): boolean =>
    THEIRS.has(key) || isRecordKey(key) || key === TAG.retiring || key.startsWith('kubernetes.io/cluster/');
  return {
    set: Object.fromEntries(Object.entries(wanted).filter(([key, value]) => !isOthers(key) && observed[key] !== value)),
    remove: Object.keys(observed)
      .filter((key) => !Object.hasOwn(wanted, key) && !isOthers(key) && !isKept(key))
      .sort(),
  };
}

/** The steps of `tagChange` for a part of ELBv2. What makes it ours goes first. */
export function tagSteps(
  on: TaggedRef,
  target: string,
  change: { readonly wanted: Tags; readonly observed: Tags | Unread; readonly settings: Settings },
): readonly Step[] {
  if (change.observed === 'unread') return [];
  const { set, remove } = tagChange(change.wanted, change.observed, change.settings);
  const isUnmarked = change.observed[TAG.cluster] === undefined;
  const added = Object.keys(set).join(', ');
  const isLbcs = isUnmarked && change.observed[LBC_TAG.cluster] !== undefined;
  const reason = isLbcs ? 'is taken over from the AWS Load Balancer Controller' : `tags differ: ${added}`;
  return [
    ...(added === ''
      ? []
      : [step(isUnmarked ? 'adopt' : 'prepare', { kind: 'AddTags', target, reason, on, tags: set })]),
    ...(remove.length === 0
      ? []
      : [step('close', { kind: 'RemoveTags', target, reason: `nobody wants ${remove.join(', ')}`, on, keys: remove })]),
  ];
}

/**
 * The record of attributes that are away from their default. A key is noted before it is set and struck after it is reset,
 * so that a crash between leaves nothing set that nobody remembers.
 */
export function recordSteps(on: TaggedRef, target: string, wanted: readonly string[], tags: Tags): readonly Step[] {
  const before = recordedKeys(tags);
  const added = wanted.filter((key) => !before.includes(key));
  const struck = before.filter((key) => !wanted.includes(key));
  const union = recordTags([...before, ...wanted]);
  const final = recordTags(wanted);
  const stale = Object.keys(tags).filter((key) => isRecordKey(key) && !Object.hasOwn(final, key));
  const note = (at: 'prepare' | 'close', keys: readonly string[], record: Tags, why: string): readonly Step[] =>
    keys.length === 0 || Object.keys(record).length === 0
      ? []
      : [step(at, { kind: 'AddTags', target, reason: `${keys.join(', ')}: ${why}`, on, tags: record })];
  return [
    ...note('prepare', added, union, 'away from the default'),
    ...note('close', struck, final, 'back at the default'),
    ...(stale.length === 0
      ? []
      : [
          step('close', { kind: 'RemoveTags', target, reason: 'all is back at the default', on, keys: stale } as const),
        ]),
  ];
}
