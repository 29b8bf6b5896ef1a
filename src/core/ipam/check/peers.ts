import { formatDuration, parseDuration } from '../../duration.ts';
import { canonicalIp, parseIp } from '../../net/ip.ts';
import type { KubeObject } from '../../objects.ts';
import type { BFDProfile, BGPPeer, Configuration, Secret } from '../metallb.ts';
import { type Finding, outOfRange, type Problem, problemOf, quoted } from '../problem.ts';
import { sharesNode } from './nodes.ts';
import { checkSelectors } from './selectors.ts';

/** Which program speaks BGP: ours, or FRR beside it. */
export type Driver = 'own' | 'frr';
type PeerSpec = NonNullable<BGPPeer['spec']>;

const maxAsn = 4_294_967_295;
const needsFrr = 'needs FRR; leave it out, or run the speaker with its FRR driver';

/** What is wrong in one peer, with the profiles and secrets that it names. */
export function checkPeer(
  peer: BGPPeer,
  how: { readonly namespace: string; readonly configuration: Configuration; readonly driver: Driver | undefined },
): readonly Finding[] {
  const spec = peer.spec ?? {};
  return [
    ...checkNumbers(spec),
    ...checkEnds(spec),
    ...checkTimers(peer),
    ...checkSelectors('spec.nodeSelectors', spec.nodeSelectors),
    ...checkPassword(spec, how.namespace, how.configuration.secrets),
    ...checkProfile(spec, how.configuration.bfdprofiles ?? []),
    ...(how.driver === 'own' ? checkOwn(spec) : []),
  ];
}

function checkNumbers(spec: PeerSpec): readonly Finding[] {
  const { myASN = 0, peerASN = 0, dynamicASN = '', ebgpMultiHop } = spec;
  const isInternal = dynamicASN === 'internal' || (peerASN !== 0 && peerASN === myASN);
  const findings: Finding[] = [];
  const report = (field: string, text: string) => findings.push({ field, text });
  if (myASN === 0) report('spec.myASN', `is missing; write our AS number, 1 to ${maxAsn}`);
  if (peerASN === 0 && dynamicASN === '')
    report('spec.peerASN', 'is missing; write the AS number of the peer, or dynamicASN: internal or external');
  if (peerASN !== 0 && dynamicASN !== '')
    report('spec.dynamicASN', `${quoted(dynamicASN)} and peerASN ${peerASN} exclude each other; keep one`);
  if (dynamicASN !== '' && dynamicASN !== 'internal' && dynamicASN !== 'external')
    report('spec.dynamicASN', `${quoted(dynamicASN)} must be internal or external`);
  if (ebgpMultiHop === true && isInternal)
    report('spec.ebgpMultiHop', 'true is for a peer in another AS; leave it out for one in our own (iBGP)');
  return [
    ...findings,
    ...outOfRange('spec.myASN', spec.myASN, 0, maxAsn),
    ...outOfRange('spec.peerASN', spec.peerASN, 0, maxAsn),
    ...outOfRange('spec.localASN', spec.localASN, 1, maxAsn),
    ...outOfRange('spec.peerPort', spec.peerPort === 0 ? undefined : spec.peerPort, 1, 16_384),
  ];
}

function checkEnds({
  peerAddress = '',
  interface: device = '',
  sourceAddress = '',
  routerID = '',
}: PeerSpec): readonly Finding[] {
  const findings: Finding[] = [];
  const report = (field: string, text: string) => findings.push({ field, text });
  const [peer, source, router] = [parseIp(peerAddress), parseIp(sourceAddress), parseIp(routerID)];
  if (peerAddress === '' && device === '')
    report('spec.peerAddress', 'is missing; write the address of the peer, or interface for an unnumbered session');
  if (peerAddress !== '' && device !== '')
    report('spec.interface', `${quoted(device)} and peerAddress ${quoted(peerAddress)} exclude each other; keep one`);
  if (peerAddress !== '' && peer === undefined)
    report('spec.peerAddress', `${quoted(peerAddress)} is not an address such as 10.0.0.1 or 2001:db8::1`);
  if (sourceAddress !== '' && source === undefined)
    report('spec.sourceAddress', `${quoted(sourceAddress)} is not an address such as 10.0.0.1 or 2001:db8::1`);
  if (routerID !== '' && router?.family !== 'ipv4')
    report('spec.routerID', `${quoted(routerID)} is not an IPv4 address such as 10.0.0.1`);
  if (peer !== undefined && source !== undefined && peer.family !== source.family)
    report(
      'spec.sourceAddress',
      `${quoted(sourceAddress)} and peerAddress ${quoted(peerAddress)} are of different families; no session can come up`,
    );
  return findings;
}

/** RFC 4271: hold time 0 or at least 3 s, in 16 bits. One of hold and keepalive gives the other: three times, a third. */
function checkTimers(peer: BGPPeer): readonly Finding[] {
  const spec = peer.spec ?? {};
  const findings: Finding[] = [];
  const report = (field: string, text: string) => findings.push({ field, text });
  // In v1beta1 zero is how "not set" looks.
  const isOld = peer.apiVersion === 'metallb.io/v1beta1';
  const read = (field: 'holdTime' | 'keepaliveTime' | 'connectTime'): number | undefined => {
    const text = spec[field];
    if (text === undefined) return undefined;
    const ms = parseDuration(text);
    if (ms === undefined) report(`spec.${field}`, `${quoted(text)} is not a duration such as 90s or 1m30s`);
    return isOld && ms === 0 ? undefined : ms;
  };
  const [hold, keepalive, connect] = [read('holdTime'), read('keepaliveTime'), read('connectTime')];
  const held = hold ?? (keepalive === undefined ? undefined : keepalive * 3);
  const said = hold === undefined ? 'keepaliveTime' : 'holdTime';
  if (held !== undefined && held !== 0 && (held < 3_000 || held > 65_535_000))
    report(
      `spec.${said}`,
      `${quoted(spec[said])} gives a hold time of ${formatDuration(held)}; it must be 0s or from 3s to 65535s`,
    );
  if (hold !== undefined && keepalive !== undefined && keepalive > hold)
    report(
      'spec.keepaliveTime',
      `${quoted(spec.keepaliveTime)} must not be above holdTime ${quoted(spec.holdTime)}; a third of it is usual`,
    );
  if (connect !== undefined && (connect % 1_000 !== 0 || connect < 1_000 || connect > 65_535_000))
    report('spec.connectTime', `${quoted(spec.connectTime)} must be whole seconds, from 1s to 65535s`);
  return findings;
}

function checkPassword(spec: PeerSpec, namespace: string, secrets: readonly Secret[] | undefined): readonly Finding[] {
  const { name = '', namespace: other = '' } = spec.passwordSecret ?? {};
  if (name === '') return [];
  const findings: Finding[] = [];
  if ((spec.password ?? '') !== '')
    findings.push({
      field: 'spec.password',
      text: `is set together with passwordSecret ${quoted(name)}; keep the secret`,
    });
  if (other !== '' && other !== namespace) {
    const text = `${quoted(other)} is not looked at: the secret must be in ${namespace}`;
    findings.push({ field: 'spec.passwordSecret.namespace', severity: 'warning', text });
  }
  return secrets === undefined ? findings : [...findings, ...checkSecret(name, namespace, secrets)];
}

function checkSecret(name: string, namespace: string, secrets: readonly Secret[]): readonly Finding[] {
  const field = 'spec.passwordSecret.name';
  const isMeant = ({ metadata }: Secret) => metadata.name === name && (metadata.namespace ?? namespace) === namespace;
  const secret = secrets.find(isMeant);
  if (secret === undefined)
    return [{ field, transient: true, text: `there is no Secret ${quoted(name)} in ${namespace}` }];
  if (secret.type !== 'kubernetes.io/basic-auth')
    return [
      { field, text: `Secret ${quoted(name)} is of type ${quoted(secret.type)}; it must be kubernetes.io/basic-auth` },
    ];
  if (secret.data?.['password'] === undefined) return [{ field, text: `Secret ${quoted(name)} has no key password` }];
  return [];
}

function checkProfile({ bfdProfile = '' }: PeerSpec, profiles: readonly BFDProfile[]): readonly Finding[] {
  if (bfdProfile === '' || profiles.some(({ metadata }) => metadata.name === bfdProfile)) return [];
  return [{ field: 'spec.bfdProfile', transient: true, text: `there is no BFDProfile ${quoted(bfdProfile)}` }];
}

function checkOwn({ vrf = '', interface: device = '' }: PeerSpec): readonly Finding[] {
  return [
    ...(vrf === '' ? [] : [{ field: 'spec.vrf', text: `${quoted(vrf)} ${needsFrr}` }]),
    ...(device === '' ? [] : [{ field: 'spec.interface', text: `${quoted(device)} ${needsFrr}` }]),
  ];
}

/**
 * What FRR demands of peers that one node has: one router ID, one AS number per VRF, each peer once per VRF. While no node
 * is known, any two may meet on one.
 */
export function checkTogether(peers: readonly BGPPeer[], nodes: readonly KubeObject[] | undefined): readonly Problem[] {
  return peers.flatMap((peer, index) =>
    peers.slice(0, index).flatMap((other) => {
      const isKnown = nodes !== undefined && nodes.length > 0;
      if (isKnown && !sharesNode(peer.spec?.nodeSelectors, other.spec?.nodeSelectors, nodes)) return [];
      return checkPair(peer, other).map((finding) => problemOf('BGPPeer', peer, finding));
    }),
  );
}

function checkPair({ spec: a = {} }: BGPPeer, { spec: b = {}, metadata }: BGPPeer): readonly Finding[] {
  const where = `BGPPeer ${metadata.name}, which has a node in common`;
  const sameVrf = (a.vrf ?? '') === (b.vrf ?? '');
  const findings: Finding[] = [];
  if ((a.routerID ?? '') !== (b.routerID ?? ''))
    findings.push({
      field: 'spec.routerID',
      text: `${quoted(a.routerID)} differs from ${quoted(b.routerID)} of ${where}; FRR has one per node`,
    });
  if (sameVrf && endOf(a) !== '' && endOf(a) === endOf(b))
    findings.push({
      field: fieldOfEnd(a),
      text: `${quoted(endOf(a))} is the peer of ${where} already; FRR has each peer once per VRF`,
    });
  if (sameVrf && a.myASN !== b.myASN)
    findings.push({
      field: 'spec.myASN',
      text: `${quoted(a.myASN)} differs from ${quoted(b.myASN)} of ${where}; FRR has one per VRF`,
    });
  return findings;
}

function endOf({ peerAddress = '', interface: device = '' }: PeerSpec): string {
  return peerAddress === '' ? device : (canonicalIp(peerAddress) ?? peerAddress);
}

function fieldOfEnd({ peerAddress = '' }: PeerSpec): string {
  return peerAddress === '' ? 'spec.interface' : 'spec.peerAddress';
}

/** What is wrong in one BFD profile. */
export function checkProfileRanges({ spec = {} }: BFDProfile, driver: Driver | undefined): readonly Finding[] {
  return [
    ...outOfRange('spec.receiveInterval', spec.receiveInterval, 10, 60_000),
    ...outOfRange('spec.transmitInterval', spec.transmitInterval, 10, 60_000),
    ...outOfRange('spec.echoInterval', spec.echoInterval, 10, 60_000),
    ...outOfRange('spec.detectMultiplier', spec.detectMultiplier, 2, 255),
    ...outOfRange('spec.minimumTtl', spec.minimumTtl, 1, 254),
    ...(spec.echoMode === true && driver === 'own' ? [{ field: 'spec.echoMode', text: `true ${needsFrr}` }] : []),
  ];
}
