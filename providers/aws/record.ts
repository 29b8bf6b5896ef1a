import type { CreateSecurityGroupCommandOutput } from '@aws-sdk/client-ec2';
import type {
  CreateListenerCommandOutput,
  CreateLoadBalancerCommandOutput,
  CreateTargetGroupCommandOutput,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { canonicalIp } from '../../src/core/net/ip.ts';
import { listenerOf, loadBalancerOf, targetGroupOf } from './convert.ts';
import type { Mirror } from './mirror.ts';
import type {
  Act,
  ListenerRef,
  ObservedListener,
  ObservedLoadBalancer,
  ObservedRule,
  ObservedSecurityGroup,
  ObservedTarget,
  ObservedTargetGroup,
  Ref,
  RuleOf,
  Tags,
  TargetDescription,
} from './model.ts';
import { type Resolver, taggedArn } from './request.ts';
import { keyOf } from './rules.ts';

/** Keeps the mirror up with our own writes, so that nothing that an answer says is asked for again. */
export interface Recorder {
  /** `answer`: of the operation; absent where it says nothing. */
  record(act: Act, answer: unknown): void;
  /** Nobody knows whether it took effect: what it is about is read anew before the next decision. */
  doubt(act: Act): void;
}

export function createRecorder({ mirror, ids }: { readonly mirror: Mirror; readonly ids: Resolver }): Recorder {
  const { loadBalancers, targetGroups, securityGroups } = mirror;

  /** What is known now that the request has been answered. */
  function record(act: Act, answer: unknown): void {
    switch (act.kind) {
      case 'CreateSecurityGroup': {
        const { GroupId: id = '' } = answer as CreateSecurityGroupCommandOutput;
        const { group, vpcId, tags } = act;
        securityGroups.wrote(id, { id, name: group.name, vpcId, tags, rules: [] });
        return;
      }
      case 'AuthorizeSecurityGroupIngress':
        changeGroup(act.group, (group) => ({ ...group, rules: withRules(group, act.rules, ids) }));
        break;
      case 'RevokeSecurityGroupIngress':
        changeGroup(act.group, (group) => ({ ...group, rules: withoutRules(group, act.rules, ids) }));
        break;
      case 'DeleteSecurityGroup':
        securityGroups.wrote(ids.securityGroup(act.group), undefined);
        break;
      case 'CreateTags':
        changeGroup(act.group, (group) => ({ ...group, tags: withTags(group.tags, act.tags) }));
        break;
      case 'DeleteTags':
        changeGroup(act.group, (group) => ({ ...group, tags: withoutTags(group.tags, act.keys) }));
        break;
      case 'CreateLoadBalancer': {
        const [row] = (answer as CreateLoadBalancerCommandOutput).LoadBalancers ?? [];
        if (row === undefined) {
          mirror.doubt();
          return;
        }
        const made = loadBalancerOf(row, act.tags);
        mirror.tagged(made.arn, act.tags);
        // New, so what is not sent is at AWS's default, and no listener is there.
        const fresh = {
          ...made,
          attributes: {},
          capacityUnits: 0,
          listeners: [],
          subnets: made.subnets.length > 0 ? made.subnets : act.subnets,
        };
        loadBalancers.wrote(made.arn, fresh);
        return;
      }
      case 'SetSecurityGroups':
        changeBalancer(act.loadBalancer, (one) => ({
          ...one,
          securityGroups: act.securityGroups.map((ref) => ids.securityGroup(ref)).sort(),
          ...(act.enforcePrivateLink === undefined ? {} : { enforcePrivateLink: act.enforcePrivateLink }),
        }));
        break;
      case 'SetSubnets':
        changeBalancer(act.loadBalancer, (one) => ({
          ...one,
          subnets: act.subnets.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
          ...(act.sourceNat === undefined ? {} : { sourceNat: act.sourceNat }),
        }));
        break;
      case 'SetIpAddressType':
        changeBalancer(act.loadBalancer, (one) => ({ ...one, ipAddressType: act.ipAddressType }));
        break;
      case 'ModifyLoadBalancerAttributes':
        changeBalancer(act.loadBalancer, (one) => ({
          ...one,
          attributes: withAttributes(one.attributes, act.attributes),
        }));
        break;
      case 'ModifyCapacityReservation':
        changeBalancer(act.loadBalancer, (one) => ({ ...one, capacityUnits: act.units }));
        break;
      case 'DeleteLoadBalancer': {
        const arn = ids.loadBalancer(act.loadBalancer);
        loadBalancers.wrote(arn, undefined);
        for (const group of targetGroups.values()) {
          if (!group.loadBalancers.includes(arn)) continue;
          targetGroups.read(group.arn, { ...group, loadBalancers: group.loadBalancers.filter((each) => each !== arn) });
        }
        return;
      }
      case 'CreateTargetGroup': {
        const [row] = (answer as CreateTargetGroupCommandOutput).TargetGroups ?? [];
        if (row === undefined) {
          mirror.doubt();
          return;
        }
        const made = targetGroupOf(row, act.tags);
        mirror.tagged(made.arn, act.tags);
        // One that an earlier try has made, whose answer was lost, may have been given targets since.
        const known = targetGroups.get(made.arn);
        targetGroups.wrote(made.arn, {
          ...made,
          attributes: known?.attributes ?? {},
          targets: known?.targets ?? (made.loadBalancers.length === 0 ? [] : 'unread'),
        });
        return;
      }
      case 'ModifyTargetGroup':
        changeTargetGroup(act.targetGroup, (group) => ({ ...group, health: act.health }));
        break;
      case 'ModifyTargetGroupAttributes':
        changeTargetGroup(act.targetGroup, (group) => ({
          ...group,
          attributes: withAttributes(group.attributes, act.attributes),
        }));
        break;
      case 'DeleteTargetGroup':
        targetGroups.wrote(ids.targetGroup(act.targetGroup), undefined);
        break;
      case 'RegisterTargets':
        changeTargetGroup(act.targetGroup, (group) => ({ ...group, targets: registered(group, act.targets) }));
        break;
      case 'DeregisterTargets':
        changeTargetGroup(act.targetGroup, (group) => ({ ...group, targets: deregistered(group, act.targets) }));
        break;
      case 'CreateListener': {
        const [row] = (answer as CreateListenerCommandOutput).Listeners ?? [];
        if (row === undefined) {
          doubt(act);
          return;
        }
        const made: ObservedListener = {
          ...listenerOf(row),
          certificates: act.certificate === undefined ? [] : [act.certificate],
          forward: act.forward.map(({ group, weight }) => ({
            arn: ids.targetGroup(group),
            ...(weight === undefined ? {} : { weight }),
          })),
          tags: act.tags,
          attributes: {},
        };
        changeBalancer(act.listener.loadBalancer, (one) => ({
          ...one,
          listeners:
            one.listeners === 'unread'
              ? 'unread'
              : [...one.listeners.filter(({ arn }) => arn !== made.arn), made].sort((a, b) => a.port - b.port),
        }));
        for (const { group } of act.forward) {
          const arn = ids.loadBalancer(act.listener.loadBalancer);
          const used = targetGroups.get(ids.targetGroup(group));
          if (used !== undefined && !used.loadBalancers.includes(arn))
            targetGroups.wrote(used.arn, { ...used, loadBalancers: [...used.loadBalancers, arn].sort() });
        }
        return;
      }
      case 'ModifyListener':
        changeListener(act.listener, (listener) => modified(listener, act, ids));
        break;
      case 'ModifyListenerAttributes':
        changeListener(act.listener, (listener) => ({
          ...listener,
          attributes: withAttributes(listener.attributes, act.attributes),
        }));
        break;
      case 'DeleteListener':
        changeBalancer(act.listener.loadBalancer, (one) => ({
          ...one,
          listeners:
            one.listeners === 'unread' ? 'unread' : one.listeners.filter(({ port }) => port !== act.listener.port),
        }));
        break;
      case 'AddListenerCertificates':
        changeListener(act.listener, (listener) => ({
          ...listener,
          certificates:
            listener.certificates === 'unread'
              ? 'unread'
              : [...listener.certificates.filter((each) => each !== act.certificate), act.certificate],
        }));
        break;
      case 'RemoveListenerCertificates':
        changeListener(act.listener, (listener) => ({
          ...listener,
          certificates:
            listener.certificates === 'unread'
              ? 'unread'
              : listener.certificates.filter((each) => each !== act.certificate),
        }));
        break;
      case 'AddTags':
        changeTags(act, (tags) => withTags(tags, act.tags));
        break;
      case 'RemoveTags':
        changeTags(act, (tags) => withoutTags(tags, act.keys));
        break;
      default:
        throw new Error(`no such action: ${JSON.stringify(act satisfies never)}`);
    }
  }

  function changeBalancer(ref: Ref, change: (one: ObservedLoadBalancer) => ObservedLoadBalancer): void {
    const known = loadBalancers.get(ids.loadBalancer(ref));
    if (known === undefined) mirror.doubt();
    else loadBalancers.wrote(known.arn, change(known));
  }

  function changeTargetGroup(ref: Ref, change: (group: ObservedTargetGroup) => ObservedTargetGroup): void {
    const known = targetGroups.get(ids.targetGroup(ref));
    if (known === undefined) mirror.doubt();
    else targetGroups.wrote(known.arn, change(known));
  }

  function changeGroup(ref: Ref, change: (group: ObservedSecurityGroup) => ObservedSecurityGroup): void {
    const known = securityGroups.get(ids.securityGroup(ref));
    if (known === undefined) mirror.doubt();
    else securityGroups.wrote(known.id, change(known));
  }

  function changeListener(ref: ListenerRef, change: (listener: ObservedListener) => ObservedListener): void {
    changeBalancer(ref.loadBalancer, (one) => ({
      ...one,
      listeners:
        one.listeners === 'unread'
          ? 'unread'
          : one.listeners.map((each) => (each.port === ref.port ? change(each) : each)),
    }));
  }

  function changeTags({ on }: Extract<Act, { kind: 'AddTags' | 'RemoveTags' }>, change: (tags: Tags) => Tags): void {
    if ('listener' in on) {
      changeListener(on.listener, (listener) => ({
        ...listener,
        tags: listener.tags === 'unread' ? 'unread' : change(listener.tags),
      }));
      return;
    }
    const arn = taggedArn(on, ids);
    const known = 'loadBalancer' in on ? loadBalancers.get(arn) : targetGroups.get(arn);
    mirror.tagged(arn, change(known?.tags ?? {}));
    if ('loadBalancer' in on) changeBalancer(on.loadBalancer, (one) => ({ ...one, tags: change(one.tags) }));
    else changeTargetGroup(on.targetGroup, (group) => ({ ...group, tags: change(group.tags) }));
  }

  /** Nobody knows whether it took effect: what it is about is read anew before the next decision. */
  function doubt(act: Act): void {
    mirror.doubt();
    if ('loadBalancer' in act) doubtBalancer(act.loadBalancer);
    else if ('listener' in act) doubtBalancer(act.listener.loadBalancer);
    else if ('targetGroup' in act) doubtTargetGroup(act.targetGroup);
    else if ('group' in act) securityGroups.doubt(act.group.id ?? securityGroups.names.get(act.group.name) ?? '');
    else if ('loadBalancer' in act.on) doubtBalancer(act.on.loadBalancer);
    else if ('listener' in act.on) doubtBalancer(act.on.listener.loadBalancer);
    else doubtTargetGroup(act.on.targetGroup);
  }

  function doubtBalancer({ id, name }: Ref): void {
    const arn = id ?? loadBalancers.names.get(name) ?? '';
    const known = loadBalancers.get(arn);
    if (known !== undefined)
      loadBalancers.read(arn, { ...known, attributes: 'unread', capacityUnits: 'unread', listeners: 'unread' });
    loadBalancers.doubt(arn);
    mirror.forgetTags(arn);
  }

  function doubtTargetGroup({ id, name }: Ref): void {
    const arn = id ?? targetGroups.names.get(name) ?? '';
    const known = targetGroups.get(arn);
    if (known !== undefined) targetGroups.read(arn, { ...known, attributes: 'unread', targets: 'unread' });
    targetGroups.doubt(arn);
    mirror.forgetTags(arn);
  }

  return { record, doubt };
}

function withTags(old: Tags, more: Tags): Tags {
  return sorted({ ...old, ...more });
}

function withoutTags(old: Tags, keys: readonly string[]): Tags {
  return Object.fromEntries(Object.entries(old).filter(([key]) => !keys.includes(key)));
}

function withAttributes<Old extends Tags | 'unread'>(old: Old, more: Tags): Tags | 'unread' {
  return old === 'unread' ? 'unread' : sorted({ ...old, ...more });
}

function sorted(record: Tags): Tags {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function observedRules(rules: readonly RuleOf<Ref>[], ids: Pick<Resolver, 'securityGroup'>): readonly ObservedRule[] {
  return rules.map(({ source, ...rule }) => ({
    ...rule,
    source: 'group' in source ? { group: ids.securityGroup(source.group) } : source,
  }));
}

function withRules(
  { rules }: ObservedSecurityGroup,
  more: readonly RuleOf<Ref>[],
  ids: Pick<Resolver, 'securityGroup'>,
): ObservedSecurityGroup['rules'] {
  if (rules === 'unread') return 'unread';
  const there = new Set(rules.map(keyOf));
  return [...rules, ...observedRules(more, ids).filter((rule) => !there.has(keyOf(rule)))];
}

export function withoutRules(
  { rules }: ObservedSecurityGroup,
  gone: readonly RuleOf<Ref>[],
  ids: Pick<Resolver, 'securityGroup'>,
): ObservedSecurityGroup['rules'] {
  if (rules === 'unread') return 'unread';
  const keys = new Set(observedRules(gone, ids).map(keyOf));
  return rules.filter((rule) => !keys.has(keyOf(rule)));
}

type Targets = readonly TargetDescription[];

const targetKey = ({ id, port }: { readonly id: string; readonly port: number }): string =>
  `${canonicalIp(id) ?? id} ${port}`;

function registered({ targets }: ObservedTargetGroup, more: Targets): ObservedTargetGroup['targets'] {
  if (targets === 'unread') return 'unread';
  const keys = new Set(more.map(targetKey));
  const fresh = more.map((target): ObservedTarget => ({ ...target, state: 'initial' }));
  // What is healthy and is registered once more stays healthy.
  const kept = targets.filter((target) => !keys.has(targetKey(target)) || !isLeaving(target));
  const known = new Set(kept.map(targetKey));
  return [...kept, ...fresh.filter((target) => !known.has(targetKey(target)))].sort(byTarget);
}

function deregistered({ targets }: ObservedTargetGroup, gone: Targets): ObservedTargetGroup['targets'] {
  if (targets === 'unread') return 'unread';
  const keys = new Set(gone.map(targetKey));
  return targets.flatMap((target) => {
    if (!keys.has(targetKey(target))) return [target];
    // Without a listener nothing has to drain.
    return target.state === 'unused' ? [] : [{ ...target, state: 'draining' as const }];
  });
}

const isLeaving = ({ state }: ObservedTarget): boolean => state === 'draining' || state === 'unhealthy.draining';

const byTarget = (a: ObservedTarget, b: ObservedTarget): number =>
  a.id === b.id ? a.port - b.port : a.id < b.id ? -1 : 1;

function modified(
  listener: ObservedListener,
  act: Extract<Act, { kind: 'ModifyListener' }>,
  ids: Resolver,
): ObservedListener {
  const { protocol = listener.protocol, sslPolicy, certificate, alpnPolicy, forward } = act;
  const isTls = protocol === 'TLS';
  const { sslPolicy: oldPolicy, alpnPolicy: oldAlpn, ...rest } = listener;
  const policy = sslPolicy ?? oldPolicy;
  const alpn = alpnPolicy ?? oldAlpn;
  const old = listener.certificates;
  return {
    ...rest,
    protocol,
    ...(isTls && policy !== undefined ? { sslPolicy: policy } : {}),
    ...(isTls && alpn !== undefined ? { alpnPolicy: alpn } : {}),
    // A new default one takes the old one's place; the others stay.
    certificates: isTls
      ? certificate === undefined || old === 'unread'
        ? old
        : [certificate, ...old.slice(1).filter((each) => each !== certificate)]
      : [],
    ...(forward === undefined
      ? {}
      : {
          forward: forward.map(({ group, weight }) => ({
            arn: ids.targetGroup(group),
            ...(weight === undefined ? {} : { weight }),
          })),
        }),
  };
}
