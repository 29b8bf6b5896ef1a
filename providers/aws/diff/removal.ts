import { failure } from '../../../src/core/errors.ts';
import type { Observed, ObservedRule, Ref, Settings } from '../model.ts';
import { LBC_RULE_DESCRIPTION, LBC_TAG, RESOURCE, ruleDescription, TAG } from '../names.ts';
import { isLbc, ownedParts } from '../ownership.ts';
import { isProtected } from '../replacement.ts';
import { backendPart } from './match.ts';
import { asNeed } from './node-access.ts';
import { groupDeletion, isBackendFree, revoke } from './security.ts';
import { type Step, step } from './stages.ts';

const REASON = 'no Service wants it';

/**
 * Everything of a Service that is not wanted any more. A load balancer takes its listeners along, and a group its targets,
 * so neither is emptied first; each stage leaves only what the next one finds by tags. Throws FL_AWS_PROTECTED, and then
 * nothing at all is deleted.
 */
export function removalSteps(observed: Observed, settings: Settings): readonly Step[] {
  const { loadBalancers, targetGroups, securityGroups } = ownedParts(observed, settings);
  const guarded = loadBalancers.find(isProtected);
  if (guarded !== undefined) {
    const message = `load balancer ${guarded.arn} has deletion_protection.enabled and is not deleted`;
    throw failure('FL_AWS_PROTECTED', message);
  }
  const isBackendGoing = isBackendFree(observed);
  const leaving = new Set(securityGroups.map(({ id }) => id));
  const backend = backendPart(observed, settings);
  if (isBackendGoing && backend.ref.id !== undefined) leaving.add(backend.ref.id);
  return [
    ...adoption(observed, settings),
    ...loadBalancers.map(({ name, arn }) =>
      step('retire', {
        kind: 'DeleteLoadBalancer',
        target: name,
        reason: REASON,
        loadBalancer: { resource: RESOURCE.loadBalancer, name, id: arn },
      }),
    ),
    ...targetGroups.map(({ name, arn, tags }) =>
      step('sweep', {
        kind: 'DeleteTargetGroup',
        target: name,
        reason: REASON,
        targetGroup: { resource: tags[TAG.resource] ?? '', name, id: arn },
      }),
    ),
    ...[...observed.shared.nodeGroups].flatMap(([group, seen]) => {
      const ref: Ref = { resource: '', name: group, id: group };
      return revoke(
        ref,
        seen.filter((rule) => isNeededNoMore(rule, group, { observed, settings, leaving })),
        'sweep',
      );
    }),
    ...securityGroups.map(({ name, id, tags }) =>
      groupDeletion({ resource: tags[TAG.resource] ?? '', name, id }, 'unlink', REASON),
    ),
    ...(isBackendGoing ? [groupDeletion(backend.ref, 'shared', 'no load balancer of the cluster uses it')] : []),
  ];
}

/** What was the reference's gets our tags first: from then on a crash leaves it findable as ours. */
function adoption(observed: Observed, settings: Settings): readonly Step[] {
  const { cluster } = settings;
  const marks = (tags: Readonly<Record<string, string>>) => ({
    [TAG.cluster]: cluster,
    [TAG.resource]: tags[LBC_TAG.resource] ?? '',
    [TAG.uid]: observed.uid,
  });
  const { loadBalancers, targetGroups } = ownedParts(observed, settings);
  const isTheirs = ({ tags }: { readonly tags: Readonly<Record<string, string>> }) => isLbc(tags, cluster);
  const reason = 'is taken over from the AWS Load Balancer Controller, to be deleted';
  return [
    ...loadBalancers.filter(isTheirs).map(({ name, arn, tags }) => {
      const on = { loadBalancer: { resource: RESOURCE.loadBalancer, name, id: arn } };
      return step('adopt', { kind: 'AddTags', target: name, reason, on, tags: marks(tags) });
    }),
    ...targetGroups.filter(isTheirs).map(({ name, arn, tags }) => {
      const on = { targetGroup: { resource: tags[LBC_TAG.resource] ?? '', name, id: arn } };
      return step('adopt', { kind: 'AddTags', target: name, reason, on, tags: marks(tags) });
    }),
  ];
}

interface Remaining {
  readonly observed: Observed;
  readonly settings: Settings;
  /** Groups that are about to be deleted: as long as a rule names one, it cannot be. */
  readonly leaving: ReadonlySet<string>;
}

function isNeededNoMore(rule: ObservedRule, group: string, { observed, settings, leaving }: Remaining): boolean {
  const { description, source, protocol } = rule;
  const from = 'group' in source ? source.group : 'cidr' in source ? source.cidr : undefined;
  if (from === undefined || (protocol !== 'tcp' && protocol !== 'udp')) return false;
  // A managed group that was taken over is still named by its maker's rules, and could not go.
  if (leaving.has(from) && settings.adoptLbc && description === LBC_RULE_DESCRIPTION) return true;
  if (description !== ruleDescription(settings.cluster)) return false;
  if (leaving.has(from)) return true;
  const { needs, complete } = observed.shared;
  return complete && needs.others(observed.uid, asNeed(rule, group, from)) === undefined;
}
