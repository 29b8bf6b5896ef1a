import type {
  Desired,
  GroupSettings,
  Observed,
  ObservedListener,
  ObservedLoadBalancer,
  ObservedSecurityGroup,
  ObservedTargetGroup,
  PartName,
  Ref,
  Settings,
  Stack,
  StackPort,
} from '../model.ts';
import { backendName, nameOf, RESOURCE } from '../names.ts';
import { currentOf, foreign, isLbc, isOurs, type Owned, ownedParts, resourceOf } from '../ownership.ts';
import { resolve } from '../resolve.ts';

/** A wanted part and what stands for it at AWS; `ref` names it whether or not it exists. */
export interface Part<Seen> {
  readonly seen: Seen | undefined;
  readonly ref: Ref;
}

export interface PortMatch {
  readonly port: StackPort;
  readonly group: Part<ObservedTargetGroup>;
  readonly listener: ObservedListener | undefined;
}

/** Which wanted part is which of those at AWS. */
export interface Match {
  readonly desired: Desired;
  readonly observed: Observed;
  readonly settings: Settings;
  readonly stack: Stack;
  readonly owned: Owned;
  readonly balancer: Part<ObservedLoadBalancer>;
  readonly ports: readonly PortMatch[];
  /** The managed security group; absent: none is wanted. */
  readonly managed?: Part<ObservedSecurityGroup>;
  readonly backend: Part<ObservedSecurityGroup>;
  /** Load balancers that the wanted one replaces. */
  readonly old: readonly ObservedLoadBalancer[];
  /** Owned target groups that stand for no wanted one. */
  readonly surplusGroups: readonly ObservedTargetGroup[];
  /** Owned listeners of the wanted load balancer that stand for no wanted one. */
  readonly surplusListeners: readonly ObservedListener[];
  /** Listeners of the wanted load balancer that are somebody else's, or of which that is not known. */
  readonly keptListeners: readonly ObservedListener[];
  readonly surplusSecurityGroups: readonly ObservedSecurityGroup[];
}

/** Throws what `resolve` throws, and FL_AWS_FOREIGN where something that is not ours has a name or port that is needed. */
export function match(desired: Desired, observed: Observed, settings: Settings): Match {
  const last = matches.get(observed);
  if (last?.desired === desired && last.settings === settings) return last;
  const made = matchOf(desired, observed, settings);
  matches.set(observed, made);
  return made;
}

/** A memo of a pure function: `diff` and `progress` ask for the same, thousands of times in an audit. */
const matches = new WeakMap<Observed, Match>();

function matchOf(desired: Desired, observed: Observed, settings: Settings): Match {
  const owned = ownedParts(observed, settings, desired);
  refuseLbc(desired, observed, settings);
  const stack = resolve(desired, observed, settings);
  const current = currentOf(owned.loadBalancers, stack.loadBalancer.scheme);
  const old = owned.loadBalancers.filter((each) => each !== current);
  const balancer = partOf(current, RESOURCE.loadBalancer, () =>
    freeName('load balancer', stack.loadBalancer.name, observed.names.loadBalancers, owned.loadBalancers.map(idOfArn)),
  );
  const live = liveArns(observed);
  const ports = stack.ports.map((port): PortMatch => {
    const listener = listenerOn(current, port.port);
    const seen = groupOf(port.group, owned.targetGroups, { current, old, listener, live });
    const taken = owned.targetGroups.map(idOfArn);
    const name = () => freeName('target group', port.group.name, observed.names.targetGroups, taken);
    return { port, listener, group: partOf(seen, port.group.resource, name) };
  });
  const used = new Set(ports.map(({ group }) => group.seen));
  const managed = stack.securityGroup && managedPart(stack.securityGroup.name, owned, observed);
  const wanted = new Set(stack.ports.map(({ port }) => port));
  const unwanted = listenersOf(current).filter(({ port }) => !wanted.has(port));
  const isMine = (listener: ObservedListener): boolean => isOwnListener(listener, desired, settings);
  return {
    desired,
    observed,
    settings,
    stack,
    owned,
    balancer,
    ports,
    ...(managed === undefined ? {} : { managed }),
    backend: backendPart(observed, settings),
    old,
    surplusGroups: owned.targetGroups.filter((group) => !used.has(group)),
    surplusListeners: unwanted.filter(isMine),
    keptListeners: unwanted.filter((listener) => !isMine(listener)),
    surplusSecurityGroups: owned.securityGroups.filter((group) => group !== managed?.seen),
  };
}

/** One that somebody else opened on our load balancer is his. Of one whose tags were not read nothing is known. */
export function isOwnListener({ tags }: ObservedListener, desired: Desired, { cluster, adoptLbc }: Settings): boolean {
  if (tags === 'unread') return false;
  return isOurs(tags, cluster, desired.uid) || (adoptLbc && isLbc(tags, cluster, desired));
}

/** Empty where they were not read. */
export function listenersOf(balancer: ObservedLoadBalancer | undefined): readonly ObservedListener[] {
  return balancer === undefined || balancer.listeners === 'unread' ? [] : balancer.listeners;
}

/** ARNs of the groups that its listeners forward to; empty where they were not read. */
export function forwardsOf(balancer: ObservedLoadBalancer): ReadonlySet<string> {
  return new Set(listenersOf(balancer).flatMap(({ forward }) => forward.map(({ arn }) => arn)));
}

/** A group can be changed into the wanted one: what AWS does not let change is equal (ELBv2 ModifyTargetGroup). */
export function isCompatible(
  seen: Pick<ObservedTargetGroup, 'targetType' | 'protocol' | 'ipAddressType'>,
  wanted: Pick<GroupSettings, 'targetType' | 'protocol' | 'ipAddressType'>,
): boolean {
  return (
    seen.targetType === wanted.targetType &&
    seen.protocol === wanted.protocol &&
    seen.ipAddressType === wanted.ipAddressType
  );
}

export function backendPart({ shared }: Observed, { cluster }: Settings): Part<ObservedSecurityGroup> {
  const seen = shared.backend.group;
  return { seen, ref: refOf(RESOURCE.backend, seen?.name ?? backendName(cluster), seen?.id) };
}

export function refOf(resource: string, name: string, id: string | undefined): Ref {
  return { resource, name, ...(id === undefined ? {} : { id }) };
}

function partOf<Seen extends { readonly name: string; readonly arn: string }>(
  seen: Seen | undefined,
  resource: string,
  freshName: () => string,
): Part<Seen> {
  return {
    seen,
    ref: seen === undefined ? refOf(resource, freshName(), undefined) : refOf(resource, seen.name, seen.arn),
  };
}

function managedPart(name: PartName, owned: Owned, observed: Observed): Part<ObservedSecurityGroup> {
  const [seen] = owned.securityGroups;
  if (seen !== undefined) return { seen, ref: refOf(RESOURCE.securityGroup, seen.name, seen.id) };
  const fresh = freeName('security group', name, observed.names.securityGroups, []);
  return { seen: undefined, ref: refOf(RESOURCE.securityGroup, fresh, undefined) };
}

/**
 * The first name of the row that nobody has. Our own resource may hold one while it is replaced; where somebody else does,
 * nothing is written: a create would succeed on his (ELBv2 creates are idempotent by name).
 */
function freeName(
  what: string,
  part: PartName,
  taken: ReadonlyMap<string, string>,
  ours: readonly { readonly name: string; readonly id: string }[],
): string {
  for (let turn = 0; ; turn += 1) {
    const name = nameOf(part, turn);
    const holder = taken.get(name);
    if (ours.some((each) => each.name === name)) continue;
    if (holder === undefined) return name;
    if (!ours.some(({ id }) => id === holder)) foreign(what, holder, `has the name ${name} and is not tagged as ours`);
  }
}

const idOfArn = ({ name, arn }: { readonly name: string; readonly arn: string }) => ({ name, id: arn });

/** A Service that the reference served has a load balancer already, and perhaps still a controller. */
function refuseLbc(desired: Desired, { loadBalancers }: Observed, { cluster, adoptLbc }: Settings): void {
  const theirs = adoptLbc ? undefined : loadBalancers.find(({ tags }) => isLbc(tags, cluster, desired));
  if (theirs === undefined) return;
  const advice = 'stop that controller and start this one with --aws-adopt-lbc to take it over';
  foreign('load balancer', theirs.arn, `was made by the AWS Load Balancer Controller for this Service: ${advice}`);
}

function listenerOn(balancer: ObservedLoadBalancer | undefined, port: number): ObservedListener | undefined {
  return listenersOf(balancer).find((listener) => listener.port === port);
}

interface Users {
  readonly current: ObservedLoadBalancer | undefined;
  readonly old: readonly ObservedLoadBalancer[];
  readonly listener: ObservedListener | undefined;
  readonly live: (arn: string) => boolean;
}

/** A group serves one load balancer: first the one that the listener uses, then any that is free. */
function groupOf(
  wanted: GroupSettings,
  groups: readonly ObservedTargetGroup[],
  { current, old, listener, live }: Users,
): ObservedTargetGroup | undefined {
  const fits = groups.filter((group) => resourceOf(group.tags) === wanted.resource && isCompatible(group, wanted));
  const forwarded = fits.find(({ arn }) => listener?.forward.some((each) => each.arn === arn));
  if (forwarded !== undefined) return forwarded;
  const elsewhere = new Set(old.flatMap((balancer) => [...forwardsOf(balancer)]));
  const isFree = ({ arn, loadBalancers }: ObservedTargetGroup): boolean =>
    !elsewhere.has(arn) && loadBalancers.every((user) => user === current?.arn || !live(user));
  const free = fits.filter(isFree);
  return free.find(({ loadBalancers }) => loadBalancers.includes(current?.arn ?? '')) ?? free[0];
}

/** Whether a load balancer of that ARN exists: groups may name one that has just gone. */
export function liveArns({ names, loadBalancers }: Observed): (arn: string) => boolean {
  let all: Set<string> | undefined;
  return (arn) => {
    if (loadBalancers.some((each) => each.arn === arn)) return true;
    all ??= new Set(names.loadBalancers.values());
    return all.has(arn);
  };
}
