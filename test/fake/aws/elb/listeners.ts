import type {
  Action,
  AddListenerCertificatesInput,
  Certificate,
  CreateListenerInput,
  DeleteListenerInput,
  DescribeListenerCertificatesInput,
  DescribeListenersInput,
  Listener as ListenerView,
  ModifyListenerInput,
  RemoveListenerCertificatesInput,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { isEqual } from '../../../../src/core/equal.ts';
import type { Cloud, Scope } from '../cloud.ts';
import { AwsError, invalid } from '../error.ts';
import type { Given } from '../given.ts';
import { pageOf } from '../paging.ts';
import type { Forward, Listener, LoadBalancer, TargetGroup } from '../records.ts';
import { listenerDefaults } from './attributes.ts';
import { listenerOf, loadBalancerOf, notFound, targetGroupOf } from './find.ts';
import { pageRule } from './load-balancers.ts';
import { invalidConfiguration } from './subnets.ts';
import { tagsOf } from './tags.ts';
import { checkTargetQuota } from './targets.ts';

/** Listener protocol -> what its target groups may speak (Network Load Balancer listeners). */
const protocols: Readonly<Record<string, readonly string[]>> = {
  TCP: ['TCP', 'TCP_UDP'],
  TLS: ['TCP', 'TLS'],
  UDP: ['UDP', 'TCP_UDP'],
  TCP_UDP: ['TCP_UDP'],
  QUIC: ['QUIC', 'TCP_QUIC'],
  TCP_QUIC: ['TCP_QUIC'],
};
const POLICIES = /^ELBSecurityPolicy-(2016-08|TLS13-1-[0-3]-.*2021-06(-PQ-.*)?|TLS-1-[12].*2017-01|FS-.*|2015-05)$/;
const ALPN = ['HTTP1Only', 'HTTP2Only', 'HTTP2Optional', 'HTTP2Preferred', 'None'];
const GROUPS_PER_ACTION = 5;

export function createListener(scope: Scope, input: Given<CreateListenerInput>): object {
  const { cloud } = scope;
  const balancer = loadBalancerOf(scope, input.LoadBalancerArn);
  const { Port: port, Protocol: protocol } = input;
  if (port === undefined || protocol === undefined) throw invalid('A listener needs a port and a protocol');
  checkPort(port);
  const arn = `${balancer.arn.replace(':loadbalancer/', ':listener/')}/${cloud.hex(16)}`;
  const wanted = settled(scope, balancer, {
    arn,
    loadBalancerArn: balancer.arn,
    port,
    protocol,
    forwards: forwardsOf(scope, input.DefaultActions, []),
    certificates: certificatesOf(cloud, input.Certificates ?? []),
    ...(input.SslPolicy === undefined ? {} : { sslPolicy: input.SslPolicy }),
    ...alpnOf(input.AlpnPolicy),
    attributes: listenerDefaults({ protocol }),
    tags: tagsOf(input.Tags, cloud),
  });
  const siblings = cloud.listeners.values().filter(({ loadBalancerArn }) => loadBalancerArn === balancer.arn);
  const there = siblings.find((one) => one.port === port);
  if (there !== undefined) {
    if (isEqual(settingsOf(there), settingsOf(wanted))) return { Listeners: [toView(there)] };
    throw new AwsError(
      'DuplicateListener',
      `A listener already exists on this port for this load balancer '${balancer.arn}'`,
    );
  }
  const limit = cloud.settings.quotas.listenersPerLoadBalancer;
  if (siblings.length >= limit)
    throw new AwsError('TooManyListeners', `The quota of ${limit} listeners has been reached`);
  checkTargetQuota(cloud, balancer, targetGroupsOf(cloud, wanted));
  cloud.listeners.put(arn, wanted);
  return { Listeners: [toView(wanted)] };
}

export function modifyListener(scope: Scope, input: Given<ModifyListenerInput>): object {
  const { cloud } = scope;
  const old = listenerOf(scope, input.ListenerArn);
  const balancer = cloud.loadBalancers.get(old.loadBalancerArn);
  if (balancer === undefined) throw notFound(old.arn);
  const { Port: port = old.port, Protocol: protocol = old.protocol } = input;
  checkPort(port);
  // ELBv2 ModifyListener, Protocol.
  if (protocol !== old.protocol && /UDP|QUIC/.test(protocol) && balancer.ipAddressType === 'dualstack') {
    throw invalidConfiguration(`The protocol cannot be changed to ${protocol} while the load balancer is dualstack`);
  }
  const taken = cloud.listeners
    .values()
    .some((one) => one.loadBalancerArn === balancer.arn && one.port === port && one.arn !== old.arn);
  if (taken) throw new AwsError('DuplicateListener', `A listener already exists on port ${port}`);
  const given = input.Certificates === undefined ? undefined : certificatesOf(cloud, input.Certificates);
  const isTls = protocol === 'TLS';
  const { sslPolicy, alpnPolicy, ...without } = old;
  const now = settled(scope, balancer, {
    ...without,
    port,
    protocol,
    forwards: input.DefaultActions === undefined ? old.forwards : forwardsOf(scope, input.DefaultActions, old.forwards),
    // The default certificate is replaced; those that were added stay (ELBv2 ModifyListener).
    certificates: isTls
      ? [...new Set([...(given ?? old.certificates.slice(0, 1)), ...old.certificates.slice(1)])]
      : (given ?? []),
    ...policyOf(isTls, input.SslPolicy, sslPolicy),
    ...(input.AlpnPolicy === undefined
      ? isTls && alpnPolicy !== undefined
        ? { alpnPolicy }
        : {}
      : alpnOf(input.AlpnPolicy)),
    attributes: protocol === old.protocol ? old.attributes : listenerDefaults({ protocol }),
  });
  checkTargetQuota(cloud, balancer, targetGroupsOf(cloud, now));
  cloud.listeners.put(old.arn, now);
  return { Listeners: [toView(now)] };
}

function policyOf(isTls: boolean, given: string | undefined, old: string | undefined): { sslPolicy?: string } {
  const policy = given ?? (isTls ? old : undefined);
  return policy === undefined ? {} : { sslPolicy: policy };
}

function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw invalid(`Port ${port} is not between 1 and 65535`);
}

/** Checks what belongs together, and fills what AWS fills. */
function settled(scope: Scope, balancer: LoadBalancer, listener: Listener): Listener {
  const { protocol, certificates, sslPolicy, alpnPolicy } = listener;
  const allowed = protocols[protocol];
  if (allowed === undefined)
    throw new AwsError('UnsupportedProtocol', `Protocol ${protocol} is not supported for network load balancers`);
  for (const group of targetGroupsOf(scope.cloud, listener))
    checkGroup(scope.cloud, balancer, group, allowed, protocol);
  if (protocol !== 'TLS') {
    if (certificates.length > 0) throw invalidConfiguration(`Certificates are not supported for ${protocol} listeners`);
    if (sslPolicy !== undefined) throw invalidConfiguration(`SslPolicy is not supported for ${protocol} listeners`);
    if (alpnPolicy !== undefined)
      throw invalidConfiguration(`ALPN policies are not supported for ${protocol} listeners`);
    return listener;
  }
  if (certificates.length === 0) throw invalid('A certificate must be specified for TLS listeners');
  if (sslPolicy !== undefined && !POLICIES.test(sslPolicy)) {
    throw new AwsError('SSLPolicyNotFound', `SSL policy '${sslPolicy}' not found`);
  }
  return { ...listener, sslPolicy: sslPolicy ?? 'ELBSecurityPolicy-2016-08' };
}

function checkGroup(
  { listeners, loadBalancers }: Cloud,
  balancer: LoadBalancer,
  group: TargetGroup,
  allowed: readonly string[],
  protocol: string,
): void {
  if (!allowed.includes(group.protocol)) {
    throw new AwsError(
      'IncompatibleProtocols',
      `The listener protocol ${protocol} does not go with the protocol ${group.protocol} of target group '${group.arn}'`,
    );
  }
  if (group.vpcId !== balancer.vpcId) throw invalidConfiguration(`Target group '${group.arn}' is in another VPC`);
  if (group.ipAddressType === 'ipv6' && balancer.ipAddressType !== 'dualstack') {
    throw invalidConfiguration(
      `Target group '${group.arn}' has the IP address type ipv6, which needs a dualstack load balancer`,
    );
  }
  const elsewhere = listeners
    .values()
    .some(
      ({ loadBalancerArn, forwards }) =>
        loadBalancerArn !== balancer.arn &&
        loadBalancers.get(loadBalancerArn) !== undefined &&
        forwards.some(({ targetGroupArn }) => targetGroupArn === group.arn),
    );
  if (elsewhere) {
    throw new AwsError(
      'TargetGroupAssociationLimit',
      `The following target groups cannot be associated with more than one load balancer: ${group.arn}`,
    );
  }
}

function forwardsOf(scope: Scope, actions: readonly Given<Action>[], old: readonly Forward[]): readonly Forward[] {
  const [action, ...more] = actions;
  if (action === undefined || more.length > 0)
    throw new AwsError('InvalidLoadBalancerAction', 'Exactly one default action is wanted');
  if (action.Type !== 'forward') {
    throw new AwsError(
      'InvalidLoadBalancerAction',
      `Action type '${action.Type}' is not supported for network load balancers`,
    );
  }
  const tuples = action.ForwardConfig?.TargetGroups;
  const wanted =
    tuples?.map(({ TargetGroupArn: arn, Weight: weight }) => ({ arn, weight })) ??
    (action.TargetGroupArn === undefined ? [] : [{ arn: action.TargetGroupArn, weight: undefined }]);
  if (wanted.length === 0) throw new AwsError('InvalidLoadBalancerAction', 'A forward action needs a target group');
  const isBoth = tuples !== undefined && action.TargetGroupArn !== undefined;
  if (isBoth && (tuples.length !== 1 || tuples[0]?.TargetGroupArn !== action.TargetGroupArn)) {
    throw new AwsError('InvalidLoadBalancerAction', 'TargetGroupArn and ForwardConfig name different target groups');
  }
  if (wanted.length > GROUPS_PER_ACTION) {
    throw new AwsError('TooManyUniqueTargetGroupsPerLoadBalancer', `${wanted.length} target groups in one action`);
  }
  const nowMs = scope.cloud.nowMs();
  return wanted.map(({ arn = '', weight }) => {
    if (weight !== undefined && (weight < 0 || weight > 999))
      throw invalid(`Weight ${weight} is not between 0 and 999`);
    const { sinceMs } = old.find(({ targetGroupArn }) => targetGroupArn === arn) ?? { sinceMs: nowMs };
    return { targetGroupArn: targetGroupOf(scope, arn).arn, ...(weight === undefined ? {} : { weight }), sinceMs };
  });
}

function targetGroupsOf({ targetGroups }: Cloud, { forwards }: Listener): readonly TargetGroup[] {
  return forwards.flatMap(({ targetGroupArn }) => targetGroups.get(targetGroupArn) ?? []);
}

function certificatesOf({ certificates }: Cloud, given: readonly Given<Certificate>[]): readonly string[] {
  if (given.length > 1) throw invalid('Exactly one default certificate must be specified');
  return knownCertificates(certificates, given);
}

function knownCertificates(known: ReadonlySet<string>, given: readonly Given<Certificate>[]): readonly string[] {
  return given.map(({ CertificateArn: arn, IsDefault }) => {
    if (IsDefault !== undefined) throw invalid('Do not set IsDefault when specifying a certificate as an input');
    if (arn === undefined || !known.has(arn)) {
      throw new AwsError('CertificateNotFound', `Certificate '${arn}' not found`);
    }
    return arn;
  });
}

function alpnOf(given: readonly string[] | undefined): { readonly alpnPolicy?: string } {
  if (given === undefined || given.length === 0) return {};
  const [policy, ...more] = given;
  if (policy === undefined || more.length > 0) throw invalid('Only one ALPN policy can be specified');
  if (!ALPN.includes(policy)) throw new AwsError('ALPNPolicyNotFound', `ALPN policy '${policy}' is not supported`);
  return { alpnPolicy: policy };
}

function settingsOf({
  loadBalancerArn,
  port,
  protocol,
  forwards,
  certificates,
  sslPolicy,
  alpnPolicy,
}: Listener): object {
  const groups = forwards.map(({ targetGroupArn, weight = 1 }) => ({ targetGroupArn, weight }));
  return { loadBalancerArn, port, protocol, groups, certificates: certificates.slice(0, 1), sslPolicy, alpnPolicy };
}

export function deleteListener(scope: Scope, { ListenerArn }: Given<DeleteListenerInput>): object {
  scope.cloud.listeners.remove(listenerOf(scope, ListenerArn).arn);
  return {};
}

export function describeListeners({ cloud, atMs }: Scope, input: Given<DescribeListenersInput>): object {
  const { LoadBalancerArn, ListenerArns, PageSize, Marker } = input;
  if ((LoadBalancerArn === undefined) === (ListenerArns === undefined)) {
    throw invalid('Either listener ARNs or a load balancer ARN must be specified');
  }
  if (LoadBalancerArn !== undefined && cloud.loadBalancers.get(LoadBalancerArn, atMs) === undefined) {
    throw notFound(LoadBalancerArn);
  }
  const chosen =
    ListenerArns?.map((arn) => {
      const found = cloud.listeners.get(arn, atMs);
      if (found === undefined) throw notFound(arn);
      return found;
    }) ?? cloud.listeners.values(atMs).filter(({ loadBalancerArn }) => loadBalancerArn === LoadBalancerArn);
  const { items, next } = pageOf(chosen, ({ arn }) => arn, pageRule(cloud, PageSize, Marker));
  return { Listeners: items.map(toView), ...(next === undefined ? {} : { NextMarker: next }) };
}

function toView(listener: Listener): ListenerView {
  const { forwards, certificates, sslPolicy, alpnPolicy } = listener;
  const [only, ...more] = forwards;
  return {
    ListenerArn: listener.arn,
    LoadBalancerArn: listener.loadBalancerArn,
    Port: listener.port,
    Protocol: listener.protocol as NonNullable<ListenerView['Protocol']>,
    ...(certificates[0] === undefined ? {} : { Certificates: [{ CertificateArn: certificates[0] }] }),
    ...(sslPolicy === undefined ? {} : { SslPolicy: sslPolicy }),
    ...(alpnPolicy === undefined ? {} : { AlpnPolicy: [alpnPolicy] }),
    DefaultActions: [
      {
        Type: 'forward',
        ...(only === undefined || more.length > 0 ? {} : { TargetGroupArn: only.targetGroupArn }),
        ForwardConfig: {
          TargetGroups: forwards.map(({ targetGroupArn, weight }) => ({
            TargetGroupArn: targetGroupArn,
            ...(weight === undefined ? {} : { Weight: weight }),
          })),
          TargetGroupStickinessConfig: { Enabled: false },
        },
      },
    ],
  };
}

/** The default certificate is among them (trap 9). */
export function describeListenerCertificates(
  { cloud, atMs }: Scope,
  { ListenerArn, PageSize, Marker }: Given<DescribeListenerCertificatesInput>,
): object {
  const found = cloud.listeners.get(ListenerArn, atMs);
  if (found === undefined) throw notFound(ListenerArn);
  const [first] = found.certificates;
  const { items, next } = pageOf(found.certificates, (arn) => arn, pageRule(cloud, PageSize, Marker));
  return {
    Certificates: items.map((arn) => ({ CertificateArn: arn, IsDefault: arn === first })),
    ...(next === undefined ? {} : { NextMarker: next }),
  };
}

export function addListenerCertificates(scope: Scope, input: Given<AddListenerCertificatesInput>): object {
  const { cloud } = scope;
  const { old, given } = certificateChange(scope, input.ListenerArn, input.Certificates);
  const certificates = [...new Set([...old.certificates, ...given])];
  const limit = cloud.settings.quotas.certificatesPerLoadBalancer;
  const others = cloud.listeners
    .values()
    .filter((one) => one.loadBalancerArn === old.loadBalancerArn && one.arn !== old.arn)
    .reduce((sum, one) => sum + one.certificates.slice(1).length, 0);
  // Default certificates do not count.
  if (others + certificates.length - 1 > limit) {
    throw new AwsError('TooManyCertificates', `The quota of ${limit} certificates has been reached`);
  }
  cloud.listeners.put(old.arn, { ...old, certificates });
  return { Certificates: given.map((arn) => ({ CertificateArn: arn, IsDefault: arn === certificates[0] })) };
}

export function removeListenerCertificates(scope: Scope, input: Given<RemoveListenerCertificatesInput>): object {
  const { old, given } = certificateChange(scope, input.ListenerArn, input.Certificates);
  const [first, ...added] = old.certificates;
  if (first !== undefined && given.includes(first)) {
    throw new AwsError('OperationNotPermitted', 'The default certificate cannot be removed');
  }
  const left = added.filter((arn) => !given.includes(arn));
  scope.cloud.listeners.put(old.arn, { ...old, certificates: first === undefined ? [] : [first, ...left] });
  return {};
}

/** Both take one certificate per call (trap 9). */
function certificateChange(
  scope: Scope,
  arn: string,
  certificates: readonly Given<Certificate>[],
): { readonly old: Listener; readonly given: readonly string[] } {
  const old = listenerOf(scope, arn);
  if (old.protocol !== 'TLS')
    throw invalidConfiguration(`Certificates are not supported for ${old.protocol} listeners`);
  if (certificates.length !== 1) throw invalid('Exactly one certificate must be specified');
  return { old, given: knownCertificates(scope.cloud.certificates, certificates) };
}
