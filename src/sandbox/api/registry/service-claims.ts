import type { Claim } from '../admit.ts';
import { type FieldError, invalid, invalidObject } from '../invalid.ts';
import { same } from '../json.ts';
import { internal } from '../status.ts';
import { familyOf } from '../words.ts';
import { type AddressRange, type NumberRange, Unavailable } from './ranges.ts';
import {
  isHeadless,
  needsClusterIp,
  needsHealthCheck,
  needsNodePort,
  nodePortsOf,
  type PortDraft,
  type ServiceDraft,
} from './service-draft.ts';
import { clusterIpErrors } from './service-validate.ts';

/** What Services take their numbers from: one address range per family, the primary family first. */
export interface ServiceRanges {
  readonly addresses: readonly AddressRange[];
  readonly ports: NumberRange;
}

type Family = 'IPv4' | 'IPv6';

/**
 * Fills in and reserves ClusterIPs, node ports and the health check port (the allocators of Kubernetes' Service
 * registry). Throws 422 and 500; then nothing is reserved.
 */
export function claimService(
  service: ServiceDraft,
  old: ServiceDraft | undefined,
  { dryRun }: { readonly dryRun: boolean },
  ranges: ServiceRanges,
): Claim {
  const claims = new Claims(ranges, dryRun, service.metadata.name ?? '');
  if (old !== undefined) keepAllocated(service, old);
  normalizeClusterIps(service, old);
  try {
    if (!keepsDualStack(service, old)) {
      initFamilies(service, old, ranges.addresses);
      claimAddresses(service, old, claims);
    }
    claimPorts(service, old, claims);
    claimHealthCheckPort(service, old, claims);
    return claims;
  } catch (error) {
    claims.undo();
    throw error;
  }
}

/** What a deleted Service held. */
export function releaseService(service: ServiceDraft, ranges: ServiceRanges): void {
  for (const address of addressesOf(service)) rangeFor(ranges, address)?.give(address);
  for (const port of nodePortsOf(service)) ranges.ports.give(BigInt(port));
  const { healthCheckNodePort } = service.spec;
  if (needsHealthCheck(service) && healthCheckNodePort !== undefined) ranges.ports.give(BigInt(healthCheckNodePort));
}

const addressesOf = ({ spec }: ServiceDraft): readonly string[] =>
  (spec.clusterIPs ?? []).filter((ip) => ip !== 'None' && ip !== '');

function rangeFor({ addresses }: ServiceRanges, address: string): AddressRange | undefined {
  const family = familyNameOf(address);
  return addresses.find((range) => range.family === family);
}

const familyNameOf = (address: string): Family => (familyOf(address) === 6 ? 'IPv6' : 'IPv4');

/** Numbers taken and to be given back, all or nothing. */
class Claims implements Claim {
  readonly #ranges: ServiceRanges;
  readonly #dryRun: boolean;
  readonly #name: string;
  readonly #taken: (() => void)[] = [];
  readonly #released: (() => void)[] = [];
  /** Of a dry run, which takes nothing: ports that it was asked for, and the dummy that it showed last. */
  readonly #shown = new Set<bigint>();
  #dummyPort = 32768;

  constructor(ranges: ServiceRanges, dryRun: boolean, name: string) {
    this.#ranges = ranges;
    this.#dryRun = dryRun;
    this.#name = name;
  }

  address(family: Family, wanted: string, shown: readonly string[]): string {
    const range = this.#ranges.addresses.find((one) => one.family === family) as AddressRange;
    if (this.#dryRun && wanted === '') return range.base;
    try {
      if (this.#dryRun) range.check(wanted);
      else if (wanted !== '') range.take(wanted);
      const address = wanted === '' ? range.next() : wanted;
      if (!this.#dryRun) this.#taken.push(() => range.give(address));
      return address;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      if (error.full)
        throw internal(`failed to allocate a serviceIP for Service ${JSON.stringify(this.#name)}: ${error.message}`);
      const what = wanted === '' ? 'failed to allocate IP' : `failed to allocate IP ${wanted}`;
      throw invalidObject('', 'Service', this.#name, [invalid('spec.clusterIPs', shown, `${what}: ${error.message}`)]);
    }
  }

  /** Throws Unavailable. */
  takePort(port: number): void {
    const number = BigInt(port);
    if (this.#dryRun) {
      // A dry run asks only whether somebody has it.
      if (this.#ranges.ports.has(number) || this.#shown.has(number))
        throw new Unavailable('provided port is already allocated');
      this.#shown.add(number);
      return;
    }
    this.#ranges.ports.take(number);
    this.#taken.push(() => this.#ranges.ports.give(number));
  }

  /** Throws Unavailable. */
  nextPort(): number {
    if (this.#dryRun) {
      this.#dummyPort += 1;
      return this.#dummyPort;
    }
    const number = this.#ranges.ports.next();
    this.#taken.push(() => this.#ranges.ports.give(number));
    return Number(number);
  }

  releaseAddress(address: string): void {
    this.#released.push(() => rangeFor(this.#ranges, address)?.give(address));
  }
  releasePort(port: number): void {
    this.#released.push(() => this.#ranges.ports.give(BigInt(port)));
  }

  commit(): void {
    for (const give of this.#released) give();
    this.#taken.length = 0;
  }
  undo(): void {
    for (const give of this.#taken.splice(0)) give();
  }
}

/** A client that sends its manifest again does not lose what it was given (patchAllocatedValues). */
function keepAllocated(service: ServiceDraft, old: ServiceDraft): void {
  const { spec } = service;
  if (needsClusterIp(old) && needsClusterIp(service)) {
    if ((spec.clusterIP ?? '') === '' && old.spec.clusterIP !== undefined) spec.clusterIP = old.spec.clusterIP;
    if ((spec.clusterIPs ?? []).length === 0 && (old.spec.clusterIPs ?? []).length > 0)
      spec.clusterIPs = [...(old.spec.clusterIPs ?? [])];
  }
  if (needsNodePort(old) && needsNodePort(service)) keepNodePorts(service, old);
  if (
    needsHealthCheck(old) &&
    needsHealthCheck(service) &&
    spec.healthCheckNodePort === undefined &&
    old.spec.healthCheckNodePort !== undefined
  )
    spec.healthCheckNodePort = old.spec.healthCheckNodePort;
}

function keepNodePorts(service: ServiceDraft, old: ServiceDraft): void {
  const used = new Set(nodePortsOf(service).filter((port) => nodePortsOf(old).includes(port)));
  const byName = new Map((old.spec.ports ?? []).map((port) => [port.name ?? '', port.nodePort]));
  for (const port of service.spec.ports ?? []) {
    const held = byName.get(port.name ?? '');
    if (port.nodePort === undefined && held !== undefined && !used.has(held)) port.nodePort = held;
  }
}

/** clusterIP and clusterIPs say the same, whichever the client knows (normalizeClusterIPs). */
function normalizeClusterIps({ spec }: ServiceDraft, old: ServiceDraft | undefined): void {
  const { clusterIP = '', clusterIPs = [] } = spec;
  if (old === undefined) {
    if (clusterIP !== '' && clusterIPs.length === 0) spec.clusterIPs = [clusterIP];
    return;
  }
  const { clusterIP: before = '', clusterIPs: allBefore = [] } = old.spec;
  if (allBefore.length > 0 && clusterIPs.length === 0 && before === clusterIP) spec.clusterIPs = [...allBefore];
  if (before === clusterIP || !same(spec.clusterIPs ?? [], allBefore)) return;
  if (before !== '' && clusterIP === '') delete spec.clusterIPs;
  else spec.clusterIPs = [clusterIP];
}

/** A PreferDualStack Service is neither up- nor downgraded unless its own fields change. */
function keepsDualStack({ spec }: ServiceDraft, old: ServiceDraft | undefined): boolean {
  if (old === undefined || spec.ipFamilyPolicy === undefined || old.spec.type !== spec.type) return false;
  if (spec.type !== 'ClusterIP' && spec.type !== 'NodePort' && spec.type !== 'LoadBalancer') return false;
  if (spec.ipFamilyPolicy !== 'PreferDualStack' || (old.spec.ipFamilyPolicy ?? 'PreferDualStack') !== 'PreferDualStack')
    return false;
  return (
    same(spec.clusterIPs ?? [], old.spec.clusterIPs ?? []) && same(spec.ipFamilies ?? [], old.spec.ipFamilies ?? [])
  );
}

/** ipFamilyPolicy and ipFamilies from each other, the addresses and the cluster (initIPFamilyFields). */
function initFamilies(service: ServiceDraft, old: ServiceDraft | undefined, addresses: readonly AddressRange[]): void {
  const { spec } = service;
  if (spec.type === 'ExternalName') return;
  const refuse = (errors: readonly FieldError[]): void => {
    if (errors.length > 0) throw invalidObject('', 'Service', service.metadata.name ?? '', errors);
  };
  const selectorless = Object.keys(spec.selector ?? {}).length === 0;
  const headless = spec.clusterIP === 'None';
  spec.ipFamilyPolicy ??= old?.spec.ipFamilyPolicy ?? (headless && selectorless ? 'RequireDualStack' : 'SingleStack');
  refuse(clusterIpErrors(service, old));
  const errors: FieldError[] = old === undefined ? [] : reduced(service, old);
  const single = spec.ipFamilyPolicy === 'SingleStack';
  const policyError = (detail: string): FieldError => invalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy, detail);
  if (single && spec.clusterIPs?.length === 2)
    errors.push(policyError("must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"));
  if (single && spec.ipFamilies?.length === 2)
    errors.push(policyError("must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"));
  errors.push(...inferFamilies(service, addresses));
  refuse(errors);

  const primary = (addresses[0] as AddressRange).family;
  const families = [...(spec.ipFamilies ?? [])];
  if (headless && selectorless) {
    if (families.length === 0) families.push(primary);
    if (families.length < 2 && !single) families.push(otherThan(families[0] as Family));
    spec.ipFamilies = families;
    return;
  }
  const late: FieldError[] = [];
  if (spec.ipFamilyPolicy === 'RequireDualStack' && addresses.length < 2)
    late.push(policyError('this cluster is not configured for dual-stack services'));
  for (const [index, family] of families.entries())
    if (!addresses.some((range) => range.family === family))
      late.push(invalid(`spec.ipFamilies[${index}]`, family, 'not configured on this cluster'));
  refuse(late);
  if (families.length === 0) families.push(primary);
  if (!single && families.length === 1 && addresses.length === 2) families.push(otherThan(families[0] as Family));
  spec.ipFamilies = families;
}

const otherThan = (family: Family): Family => (family === 'IPv4' ? 'IPv6' : 'IPv4');

/** Going to one family needs the policy; with it, the lists follow. */
function reduced({ spec }: ServiceDraft, old: ServiceDraft): FieldError[] {
  const { clusterIPs = [], ipFamilies = [] } = spec;
  const { clusterIPs: oldIps = [], ipFamilies: oldFamilies = [] } = old.spec;
  if (spec.ipFamilyPolicy === 'SingleStack') {
    if (same(clusterIPs, oldIps) && clusterIPs.length > 1) spec.clusterIPs = clusterIPs.slice(0, 1);
    if (same(ipFamilies, oldFamilies) && ipFamilies.length > 1) spec.ipFamilies = ipFamilies.slice(0, 1);
    return [];
  }
  const errors: FieldError[] = [];
  if (clusterIPs.length > 0 && clusterIPs.length < oldIps.length)
    errors.push(
      invalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP"),
    );
  if (ipFamilies.length > 0 && ipFamilies.length < oldFamilies.length)
    errors.push(
      invalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy, "must be 'SingleStack' to release the secondary IP family"),
    );
  return errors;
}

function inferFamilies({ spec }: ServiceDraft, addresses: readonly AddressRange[]): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, ip] of (spec.clusterIPs ?? []).entries()) {
    if (ip === 'None') break;
    if (index < (spec.ipFamilies ?? []).length) continue;
    const family = familyNameOf(ip);
    if (addresses.some((range) => range.family === family)) spec.ipFamilies = [...(spec.ipFamilies ?? []), family];
    else
      errors.push(invalid(`spec.clusterIPs[${index}]`, spec.clusterIPs, `${family} is not configured on this cluster`));
  }
  return errors;
}

function claimAddresses(service: ServiceDraft, old: ServiceDraft | undefined, claims: Claims): void {
  const { spec } = service;
  if (old === undefined || (old.spec.type === 'ExternalName' && spec.type !== 'ExternalName')) {
    if (needsClusterIp(service) && !isHeadless(service)) claimAll(service, claims);
    return;
  }
  if (old.spec.clusterIPs?.[0] === 'None') return;
  if (old.spec.type !== 'ExternalName' && spec.type === 'ExternalName') {
    for (const address of addressesOf(old)) claims.releaseAddress(address);
    return;
  }
  const [had, has] = [old.spec.ipFamilies?.length ?? 0, spec.ipFamilies?.length ?? 0];
  if (had === 1 && has === 2) {
    const all = [...(spec.clusterIPs ?? [])];
    all[1] = claims.address(spec.ipFamilies?.[1] as Family, all[1] ?? '', all);
    spec.clusterIPs = all;
  }
  if (had === 2 && has === 1 && old.spec.clusterIPs?.[1] !== undefined) claims.releaseAddress(old.spec.clusterIPs[1]);
}

function claimAll({ spec }: ServiceDraft, claims: Claims): void {
  const all = (spec.ipFamilies ?? []).map((_family, index) => spec.clusterIPs?.[index] ?? '');
  const shown = [...all];
  for (const [index, family] of (spec.ipFamilies ?? []).entries())
    all[index] = claims.address(family, all[index] as string, shown);
  spec.clusterIPs = all;
  if (all[0] !== undefined) spec.clusterIP = all[0];
}

function claimPorts(service: ServiceDraft, old: ServiceDraft | undefined, claims: Claims): void {
  if (old !== undefined && needsNodePort(old) && !needsNodePort(service))
    for (const port of nodePortsOf(old)) claims.releasePort(port);
  if (!needsNodePort(service)) return;
  if (old === undefined) claimNewPorts(service, claims);
  else claimChangedPorts(service, old, claims);
}

const allocates = ({ spec }: ServiceDraft): boolean =>
  spec.type === 'NodePort' || spec.allocateLoadBalancerNodePorts === true;

/** TCP and UDP of one port number share one node port (initNodePorts). */
function claimNewPorts(service: ServiceDraft, claims: Claims): void {
  const ports = service.spec.ports ?? [];
  const byPort = new Map<number, number>();
  for (const [index, port] of ports.entries()) {
    if (port.nodePort === undefined && !allocates(service)) continue;
    const claimed = byPort.get(port.port);
    if (claimed !== undefined) {
      if (port.nodePort !== undefined && port.nodePort !== claimed) takePort(service, claims, index, port.nodePort);
      port.nodePort ??= claimed;
      continue;
    }
    const asked = ports.find((other: PortDraft) => other.port === port.port && other.nodePort !== undefined)?.nodePort;
    if (asked !== undefined) takePort(service, claims, index, asked);
    port.nodePort = asked ?? nextPort(claims);
    byPort.set(port.port, port.nodePort);
  }
}

function claimChangedPorts(service: ServiceDraft, old: ServiceDraft, claims: Claims): void {
  const held = nodePortsOf(old);
  const taken = new Set<number>();
  const seen = new Set<string>();
  for (const [index, port] of (service.spec.ports ?? []).entries()) {
    if (port.nodePort === undefined) {
      if (!allocates(service)) continue;
      port.nodePort = nextPort(claims);
    } else if (!held.includes(port.nodePort) && !taken.has(port.nodePort)) {
      takePort(service, claims, index, port.nodePort);
      taken.add(port.nodePort);
    }
    const key = `${port.protocol}/${port.nodePort}`;
    if (seen.has(key)) throw internal(`duplicate nodePort: {${port.protocol} ${port.nodePort}}`);
    seen.add(key);
  }
  const kept = nodePortsOf(service);
  for (const port of held) if (!kept.includes(port)) claims.releasePort(port);
}

function takePort(service: ServiceDraft, claims: Claims, index: number, port: number): void {
  try {
    claims.takePort(port);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    throw invalidObject('', 'Service', service.metadata.name ?? '', [
      invalid(`spec.ports[${index}].nodePort`, port, error.message),
    ]);
  }
}

function nextPort(claims: Claims): number {
  try {
    return claims.nextPort();
  } catch (error) {
    throw error instanceof Unavailable ? internal(`failed to allocate a nodePort: ${error.message}`) : error;
  }
}

function claimHealthCheckPort(service: ServiceDraft, old: ServiceDraft | undefined, claims: Claims): void {
  const [needed, needs] = [old !== undefined && needsHealthCheck(old), needsHealthCheck(service)];
  if (needed && !needs && old?.spec.healthCheckNodePort !== undefined) claims.releasePort(old.spec.healthCheckNodePort);
  if (needed || !needs) return;
  const asked = service.spec.healthCheckNodePort;
  try {
    if (asked !== undefined) claims.takePort(asked);
    else service.spec.healthCheckNodePort = claims.nextPort();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    throw internal(
      asked === undefined
        ? `failed to allocate a HealthCheck NodePort 0: ${error.message}`
        : `failed to allocate requested HealthCheck NodePort ${asked}: ${error.message}`,
    );
  }
}
