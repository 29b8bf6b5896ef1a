import { failure, isProviderError } from '../../src/core/errors.ts';
import type { Call, Clock } from '../../src/core/provider.ts';
import type { AwsClients, Method } from './client.ts';
import { awsCode, isNotFound } from './errors.ts';
import type { Mirror } from './mirror.ts';
import type { Act, ListenerRef, ObservedListener, Ref, Tags } from './model.ts';
import { TAG } from './names.ts';
import { createRecorder, withoutRules } from './record.ts';
import { type Request, type Resolver, requestOf } from './request.ts';
import type { Shelf } from './shelf.ts';

export interface Applier {
  /** One write, and what it made in the mirror. Success when the effect is there already. */
  apply(act: Act, call: Call): Promise<void>;
  /** What `apply` would send now; in place of an id that does not exist yet its name in angle brackets. */
  request(act: Act): Request;
  /** Ids as the mirror knows them. Throws FL_AWS_NOT_FOUND for what is not there (yet). */
  readonly ids: Resolver;
}

export interface ApplierOptions {
  readonly clock: Clock;
  readonly cluster: string;
  readonly clients: AwsClients;
  readonly mirror: Mirror;
  /** Something that a request refers to is not there: facts about the VPC may be old. */
  readonly forgetFacts: () => void;
}

/** Names are looked up no longer ago than this before something is created under them (aws.md, trap 1). */
const LOOK_MS = 5000;
/** What AWS does not know everywhere yet it knows soon: so often and so long a request is sent again from here. */
const LAG_TRIES = 4;
const LAG_TRY_MS = 500;
/** After that it is a wait of the Service. */
const LAG_RETRY_MS = 2000;

export function createApplier({ clock, cluster, clients, mirror, forgetFacts }: ApplierOptions): Applier {
  const { loadBalancers, targetGroups, securityGroups } = mirror;

  const ids: Resolver = {
    loadBalancer: (ref) => idOf(ref, loadBalancers, cluster, 'load balancer'),
    targetGroup: (ref) => idOf(ref, targetGroups, cluster, 'target group'),
    securityGroup: (ref) => idOf(ref, securityGroups, cluster, 'security group'),
    listener: (ref) => {
      const arn = ref.arn ?? listenerAt(ref)?.arn;
      if (arn !== undefined) return arn;
      throw failure(
        'FL_AWS_NOT_FOUND',
        `load balancer ${ref.loadBalancer.name} has no listener on port ${ref.port} (yet)`,
      );
    },
  };

  function listenerAt({ loadBalancer, port }: ListenerRef): ObservedListener | undefined {
    const arn = loadBalancer.id ?? loadBalancers.names.get(loadBalancer.name);
    const listeners = loadBalancers.get(arn ?? '')?.listeners;
    return listeners === undefined || listeners === 'unread' ? undefined : listeners.find((each) => each.port === port);
  }

  const { record, doubt } = createRecorder({ mirror, ids });
  const creating = new Map<string, Promise<void>>(); // security group's name -> its creation under way

  async function send(act: Act, call: Call): Promise<unknown> {
    const { service, operation, input } = requestOf(act, ids);
    const name = `${operation.charAt(0).toLowerCase()}${operation.slice(1)}`;
    const methods = clients[service] as unknown as Readonly<Record<string, Method<object, unknown>>>;
    return await (methods[name] as Method<object, unknown>)(input, call);
  }

  const closing = new Map<string, Promise<void>>(); // of things that many Services close at once: what -> under way

  /** Fifty Services that go together all find that nobody needs the backend group any more. */
  async function apply(act: Act, call: Call): Promise<void> {
    if (act.kind !== 'DeleteSecurityGroup' && act.kind !== 'RevokeSecurityGroupIngress')
      return await applyOne(act, call);
    if (isClosed(act)) return;
    const { kind, group } = act;
    const key = JSON.stringify([kind, group.id ?? group.name, 'rules' in act ? act.rules : []]);
    const running = closing.get(key) ?? applyOne(act, call).finally(() => closing.delete(key));
    closing.set(key, running);
    await running;
  }

  /** Another Service has done it since it was decided. */
  function isClosed(act: Act): boolean {
    if (!('group' in act) || act.group.id === undefined) return false;
    const seen = securityGroups.get(act.group.id);
    if (act.kind === 'DeleteSecurityGroup') return seen === undefined;
    if (!('rules' in act) || seen === undefined || seen.rules === 'unread') return false;
    return withoutRules(seen, act.rules, ids).length === seen.rules.length;
  }

  async function applyOne(act: Act, call: Call): Promise<void> {
    try {
      if (act.kind === 'CreateSecurityGroup') {
        await createGroup(act, call);
        return;
      }
      await look(act, call);
      const answer = await patiently(act, call);
      record(act, answer);
    } catch (error) {
      // Gone already; of what we have just made it says nothing.
      if (act.kind.startsWith('Delete') && isNotFound(error) && !isLag(act, error)) {
        record(act, undefined);
        return;
      }
      if (act.kind.startsWith('Create') && 'tags' in act && isUnanswered(error)) {
        mirror.mayHaveMade(act.tags[TAG.uid] ?? '');
      }
      const lags = isLag(act, error);
      if (!lags && !isRefused(error)) doubt(act);
      else if (lags) mirror.doubt();
      if (isNotFound(error) || /^Invalid(Subnet|SecurityGroup)/.test(awsCode(error))) forgetFacts();
      throw lags ? wait(error) : error;
    }
  }

  /** Many Services want the backend group at once, and the first of them makes it for all. */
  async function createGroup(act: Extract<Act, { kind: 'CreateSecurityGroup' }>, call: Call): Promise<void> {
    const { name } = act.group;
    await creating.get(name)?.catch(() => {}); // whoever tried tells; then it is our turn
    const there = securityGroups.get(securityGroups.names.get(name) ?? '');
    if (there !== undefined && isMarked(there.tags, act.tags)) return;
    const made = patiently(act, call).then((answer) => record(act, answer));
    creating.set(name, made);
    try {
      await made;
    } finally {
      if (creating.get(name) === made) creating.delete(name);
    }
  }

  /**
   * What was just made may be unknown to the next request for a moment, and what a lost answer made may have its name
   * already. Both are waits.
   */
  function isLag(act: Act, error: unknown): boolean {
    const code = awsCode(error);
    if (isTaken(act, error)) return true;
    // Of what is older it is no lag: somebody has deleted it.
    if (/^(LoadBalancer|TargetGroup|Listener)NotFound$/.test(code)) {
      return balancersOf(act).some(isRecentIn(loadBalancers)) || targetGroupsOf(act).some(isRecentIn(targetGroups));
    }
    if (!/^Invalid(Group\.NotFound|GroupId\.|SecurityGroup)/.test(code)) return false;
    const groups = 'group' in act ? [act.group] : 'securityGroups' in act ? act.securityGroups : [];
    const sources = 'rules' in act ? act.rules.flatMap(({ source }) => ('group' in source ? [source.group] : [])) : [];
    return [...groups, ...sources].some(isRecentIn(securityGroups));
  }

  function isRecentIn(shelf: Pick<Shelf<unknown>, 'isRecent' | 'names'>): (ref: Ref) => boolean {
    return ({ id, name }) => shelf.isRecent(id ?? shelf.names.get(name) ?? '');
  }

  /**
   * Before a create: AWS answers one with a known name and equal settings with what exists, whoever owns it. The lists
   * say who has the name; they are shared by all that are created at this time.
   */
  async function look(act: Act, call: Call): Promise<void> {
    if (act.kind !== 'CreateLoadBalancer' && act.kind !== 'CreateTargetGroup') return;
    await mirror.refresh(call, { maxAgeMs: LOOK_MS });
    const isBalancer = act.kind === 'CreateLoadBalancer';
    const { name } = isBalancer ? act.loadBalancer : act.targetGroup;
    const shelf = isBalancer ? loadBalancers : targetGroups;
    const holder = shelf.names.get(name);
    if (holder === undefined) return;
    const what = isBalancer ? 'load balancer' : 'target group';
    const { tags } = shelf.get(holder) ?? { tags: {} };
    if (isMarked(tags, act.tags)) return; // an earlier try of ours
    throw failure('FL_AWS_FOREIGN', `${what} ${holder} has the name ${name}, and is not tagged as ours`);
  }

  async function patiently(act: Act, call: Call): Promise<unknown> {
    for (let left = LAG_TRIES; ; left -= 1) {
      try {
        return await sent(act, call);
      } catch (error) {
        if (left === 0 || act.kind.startsWith('Delete') || !isLag(act, error) || isTaken(act, error)) throw error;
        await clock.sleep(LAG_TRY_MS, call.signal);
      }
    }
  }

  async function sent(act: Act, call: Call): Promise<unknown> {
    if (act.kind !== 'AuthorizeSecurityGroupIngress' && act.kind !== 'RevokeSecurityGroupIngress')
      return await send(act, call);
    try {
      return await send(act, call);
    } catch (error) {
      if (!isThere(act, error)) throw error;
      // One rule that is there, or gone, makes EC2 refuse them all.
      if (act.rules.length > 1) for (const rule of act.rules) await sendRule({ ...act, rules: [rule] }, call);
      return undefined;
    }
  }

  async function sendRule(act: RuleAct, call: Call): Promise<void> {
    try {
      await send(act, call);
    } catch (error) {
      if (!isThere(act, error)) throw error;
    }
  }

  const orNamed = (find: () => string, name: string): string => {
    try {
      return find();
    } catch {
      return `<${name}>`; // an earlier action makes it
    }
  };
  const planned: Resolver = {
    loadBalancer: (ref) => orNamed(() => ids.loadBalancer(ref), ref.name),
    targetGroup: (ref) => orNamed(() => ids.targetGroup(ref), ref.name),
    securityGroup: (ref) => orNamed(() => ids.securityGroup(ref), ref.name),
    listener: (ref) => orNamed(() => ids.listener(ref), `${ref.loadBalancer.name}:${ref.port}`),
  };

  return { apply, ids, request: (act) => requestOf(act, planned) };
}

type RuleAct = Extract<Act, { kind: 'AuthorizeSecurityGroupIngress' | 'RevokeSecurityGroupIngress' }>;

/** Load balancers that the request refers to; those of its listeners included. */
function balancersOf(act: Act): readonly Ref[] {
  const on = 'on' in act ? act.on : act;
  if ('loadBalancer' in on) return [on.loadBalancer];
  return 'listener' in on ? [on.listener.loadBalancer] : [];
}

function targetGroupsOf(act: Act): readonly Ref[] {
  const on = 'on' in act ? act.on : act;
  const forward = 'forward' in act ? (act.forward ?? []) : [];
  return [...('targetGroup' in on ? [on.targetGroup] : []), ...forward.map(({ group }) => group)];
}

/** AWS may have done it all the same. */
function isUnanswered(error: unknown): boolean {
  return !isProviderError(error) || error.kind === 'transient';
}

/** By name only what is ours: somebody else's of that name is not what was meant. */
function idOf(
  { id, name }: Ref,
  shelf: Pick<Shelf<{ readonly tags: Tags }>, 'names' | 'get'>,
  cluster: string,
  what: string,
): string {
  if (id !== undefined) return id;
  const found = shelf.names.get(name);
  if (found !== undefined && shelf.get(found)?.tags[TAG.cluster] === cluster) return found;
  throw failure('FL_AWS_NOT_FOUND', `${what} ${name} is not there (yet)`);
}

/** All that makes a part ours, whatever else it is tagged with. */
function isMarked(tags: Tags, wanted: Tags): boolean {
  return Object.entries(wanted)
    .filter(([key]) => key.startsWith('fairlead.dev/') && !key.startsWith('fairlead.dev/attributes'))
    .every(([key, value]) => tags[key] === value);
}

/** EC2 compares rules whatever their description: the same rule of somebody else serves as well. */
function isThere(act: RuleAct, error: unknown): boolean {
  const code = awsCode(error);
  return act.kind === 'AuthorizeSecurityGroupIngress'
    ? code === 'InvalidPermission.Duplicate'
    : code === 'InvalidPermission.NotFound';
}

/** The name or port is there; what has it is seen at the next look. */
const isTaken = (act: Act, error: unknown): boolean =>
  act.kind.startsWith('Create') && /^Duplicate|\.Duplicate$/.test(awsCode(error));

/** AWS has said no, so nothing has happened. */
const isRefused = (error: unknown): boolean =>
  isProviderError(error) && ['denied', 'invalid', 'quota', 'throttled'].includes(error.kind);

const wait = (error: unknown): Error =>
  failure('FL_AWS_BUSY', (error as Error).message, { cause: error, retryAfterMs: LAG_RETRY_MS });
