import { compareText, isEqual } from '../../../src/core/equal.ts';
import { attributeChange, beyondDefault, isUdpLike, listenerDefault, recordedKeys, recordTags } from '../attributes.ts';
import type { Forward, ListenerRef, ListenerSettings, ObservedListener } from '../model.ts';
import { foreign, resourceOf } from '../ownership.ts';
import { limitOf } from '../quotas.ts';
import { isOwnListener, listenersOf, type Match, type PortMatch } from './match.ts';
import { type Step, step } from './stages.ts';
import { recordSteps, tagSteps, wantedTags } from './tags.ts';

/** Listeners: opened before others are closed, unless the quota has no room for both. */
export function listenerSteps(match: Match): readonly Step[] {
  const { balancer, ports } = match;
  if (balancer.seen?.listeners === 'unread') return [];
  return [
    ...ports.flatMap((port) =>
      port.listener === undefined ? opening(match, port, 'is wanted') : changes(match, port, port.listener),
    ),
    ...closings(match),
  ];
}

function refOf({ balancer }: Match, port: number, listener?: ObservedListener): ListenerRef {
  return { loadBalancer: balancer.ref, port, ...(listener === undefined ? {} : { arn: listener.arn }) };
}

const nameOf = ({ loadBalancer, port }: ListenerRef): string => `${loadBalancer.name}:${port}`;

function opening(match: Match, { port, group }: PortMatch, why: string): readonly Step[] {
  const { desired, settings } = match;
  const { protocol, sslPolicy, certificates, alpnPolicy, attributes } = port.listener;
  const [certificate, ...sni] = certificates;
  const set = beyondDefault(attributes, listenerDefault);
  const listener = refOf(match, port.port);
  const isTls = certificate !== undefined;
  return [
    step('serve', {
      kind: 'CreateListener',
      target: nameOf(listener),
      reason: `${protocol} ${port.port} ${why}`,
      listener,
      protocol,
      ...(isTls ? { certificate, ...(sslPolicy === undefined ? {} : { sslPolicy }) } : {}),
      ...(alpnPolicy === undefined ? {} : { alpnPolicy }),
      forward: forwardOf({ port, group }),
      tags: { ...wantedTags(desired, settings, String(port.port)), ...recordTags(Object.keys(set)) },
    }),
    ...attributeSteps(listener, set, 'as its annotation says', 'detail'),
    ...sni.map((arn) => certificateStep('AddListenerCertificates', listener, arn)),
  ];
}

function forwardOf({ port, group }: Pick<PortMatch, 'port' | 'group'>): readonly Forward[] {
  const { weight, others } = port;
  if (weight === undefined) return [{ group: group.ref }];
  return [
    { group: group.ref, weight },
    ...others.map(({ arn, weight: share }) => ({ group: { resource: '', name: arn, id: arn }, weight: share })),
  ];
}

function changes(match: Match, port: PortMatch, seen: ObservedListener): readonly Step[] {
  const { desired, settings, stack } = match;
  const wanted = port.port.listener;
  refuseForeign(match, seen);
  // AWS: "You can't change the protocol to UDP, TCP_UDP, QUIC, or TCP_QUIC if dual-stack mode is enabled."
  // The address type is changed before listeners are.
  const isDualstack = stack.loadBalancer.ipAddressType === 'dualstack';
  if (wanted.protocol !== seen.protocol && isUdpLike(wanted.protocol) && isDualstack) {
    return [closing(match, seen, 'shape', `becomes ${wanted.protocol}`), ...opening(match, port, 'replaces it')];
  }
  const listener = refOf(match, seen.port, seen);
  const recorded = seen.tags === 'unread' ? [] : recordedKeys(seen.tags);
  const { set, reasons } = attributeChange(wanted.attributes, seen.attributes, {
    recorded,
    defaultOf: listenerDefault,
  });
  const record = Object.keys(beyondDefault(wanted.attributes, listenerDefault));
  return [
    ...tagSteps({ listener }, nameOf(listener), {
      wanted: wantedTags(desired, settings, String(seen.port)),
      observed: seen.tags,
      settings,
    }),
    ...(seen.attributes === 'unread' || seen.tags === 'unread'
      ? []
      : recordSteps({ listener }, nameOf(listener), record, seen.tags)),
    ...modification(port, listener, seen),
    ...certificateSteps(listener, wanted, seen),
    ...attributeSteps(listener, set, reasons.join('; '), 'serve'),
  ];
}

/** One call for all that differs. */
function modification(port: PortMatch, listener: ListenerRef, seen: ObservedListener): readonly Step[] {
  const { protocol, sslPolicy, certificates, alpnPolicy } = port.port.listener;
  const forward = forwardOf(port);
  const isTls = protocol === 'TLS';
  const [certificate] = certificates;
  const isNewProtocol = protocol !== seen.protocol;
  const change = {
    ...(isNewProtocol ? { protocol } : {}),
    ...(isTls && sslPolicy !== undefined && (isNewProtocol || sslPolicy !== seen.sslPolicy) ? { sslPolicy } : {}),
    ...(isTls && certificate !== undefined && (isNewProtocol || certificate !== defaultOf(seen, certificate))
      ? { certificate }
      : {}),
    ...(isTls && (alpnPolicy ?? 'None') !== (seen.alpnPolicy ?? 'None') ? { alpnPolicy: alpnPolicy ?? 'None' } : {}),
    ...(isForwarded(forward, seen.forward) ? {} : { forward }),
  };
  const members = Object.keys(change);
  if (members.length === 0) return [];
  const reason = `${members.map((member) => WORDS[member]).join(', ')} changed`;
  return [step('serve', { kind: 'ModifyListener', target: nameOf(listener), reason, listener, ...change })];
}

const WORDS: Readonly<Record<string, string>> = {
  protocol: 'the protocol',
  sslPolicy: 'the security policy',
  certificate: 'the default certificate',
  alpnPolicy: 'the ALPN policy',
  forward: 'the target group',
};

/** Unread ones count as what is wanted. */
const defaultOf = ({ certificates }: ObservedListener, wanted: string): string | undefined =>
  certificates === 'unread' ? wanted : certificates[0];

function isForwarded(wanted: readonly Forward[], seen: ObservedListener['forward']): boolean {
  if (wanted.length !== seen.length) return false;
  if (wanted.length === 1) return wanted[0]?.group.id === seen[0]?.arn;
  const plain = seen.map(({ arn, weight = 1 }) => ({ arn, weight }));
  const asked = wanted.map(({ group, weight = 1 }) => ({ arn: group.id ?? '', weight }));
  const byArn = (a: { readonly arn: string }, b: { readonly arn: string }): number => compareText(a.arn, b.arn);
  return isEqual(plain.sort(byArn), asked.sort(byArn));
}

/** SNI: added once the listener takes them, taken off when nobody wants them; the default one is changed with the listener. */
function certificateSteps(
  listener: ListenerRef,
  { protocol, certificates }: ListenerSettings,
  seen: ObservedListener,
): readonly Step[] {
  if (protocol !== 'TLS' || seen.certificates === 'unread') return [];
  const [, ...sni] = certificates;
  const [, ...has] = seen.certificates;
  // A default certificate that is replaced is forgotten, unless SNI keeps it.
  const gone = has.filter((arn) => !certificates.includes(arn));
  return [
    ...sni.filter((arn) => !has.includes(arn)).map((arn) => certificateStep('AddListenerCertificates', listener, arn)),
    ...gone.map((arn) => certificateStep('RemoveListenerCertificates', listener, arn)),
  ];
}

function certificateStep(
  kind: 'AddListenerCertificates' | 'RemoveListenerCertificates',
  listener: ListenerRef,
  certificate: string,
): Step {
  const isNew = kind === 'AddListenerCertificates';
  const reason = `${certificate} is ${isNew ? '' : 'not '}wanted`;
  return step(isNew ? 'detail' : 'close', { kind, target: nameOf(listener), reason, listener, certificate });
}

function attributeSteps(
  listener: ListenerRef,
  attributes: Readonly<Record<string, string>>,
  reason: string,
  at: 'serve' | 'detail',
): readonly Step[] {
  if (Object.keys(attributes).length === 0) return [];
  return [step(at, { kind: 'ModifyListenerAttributes', target: nameOf(listener), reason, listener, attributes })];
}

function closings(match: Match): readonly Step[] {
  const { surplusListeners, ports, balancer, observed } = match;
  const opened = ports.filter(({ listener }) => listener === undefined).length;
  const room = limitOf(observed.facts, 'listeners-per-network-load-balancer') - listenersOf(balancer.seen).length;
  return surplusListeners.map((listener) =>
    closing(match, listener, opened > room ? 'shape' : 'close', 'no port of the Service wants it'),
  );
}

function closing(match: Match, listener: ObservedListener, at: 'shape' | 'close', reason: string): Step {
  const ref = refOf(match, listener.port, listener);
  return step(at, { kind: 'DeleteListener', target: nameOf(ref), reason, listener: ref });
}

function refuseForeign(match: Match, listener: ObservedListener): void {
  if (listener.tags === 'unread' || isOwnListener(listener, match.desired, match.settings)) return;
  if (
    resourceOf(listener.tags) === undefined &&
    Object.keys(listener.tags).length === 0 &&
    isForwardOfOurs(match, listener)
  )
    return;
  foreign('listener', listener.arn, `has port ${listener.port} and is not tagged as ours`);
}

/** Tags that somebody took off do not make a listener his: it still leads to our groups. Ours go back on. */
function isForwardOfOurs({ owned }: Match, { forward }: ObservedListener): boolean {
  return forward.length > 0 && forward.every(({ arn }) => owned.targetGroups.some((group) => group.arn === arn));
}
