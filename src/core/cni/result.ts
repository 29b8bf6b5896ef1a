import { isEqual } from '../equal.ts';
import { parseBlock } from '../net/cidr.ts';
import { parseIp } from '../net/ip.ts';
import { CniFailure, cniCodes } from './failure.ts';
import { count, list, type Members, members, optionalMembers, text, texts, wrong } from './json.ts';
import { type CniVersion, cniVersions, isAtLeast, isCniVersion } from './versions.ts';

/** The result of ADD, and prevResult, with all that version 1.1.0 can say. */
export interface CniResult {
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns: CniDns;
}
export interface CniInterface {
  readonly name: string;
  readonly mac?: string;
  /** 1.1.0, like socketPath and pciID. */
  readonly mtu?: number;
  /** Path of the namespace; absent: on the host. */
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}
export interface CniIp {
  /** With the prefix length: 10.64.1.2/32. */
  readonly address: string;
  readonly gateway?: string;
  /** Index into `interfaces`. */
  readonly interface?: number;
}
export interface CniRoute {
  readonly dst: string;
  readonly gw?: string;
  /** 1.1.0, like the following. */
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}
export interface CniDns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

export const emptyResult: CniResult = { interfaces: [], ips: [], routes: [], dns: {} };

/** The result as JSON of the version: what the version does not know is left out. */
export function resultJson(version: CniVersion, result: CniResult): string {
  return `${JSON.stringify(resultObject(version, result), null, 4)}\n`;
}

export function resultObject(version: CniVersion, result: CniResult): object {
  if (!isAtLeast(version, '0.3.0')) return early(version, result);
  const full = isAtLeast(version, '1.1.0');
  return {
    cniVersion: version,
    ...present('interfaces', result.interfaces.map((one) => (full ? one : { ...one, ...unknownTo1_0 })).map(defined)),
    ...present(
      'ips',
      result.ips.map((ip) => (isAtLeast(version, '1.0.0') ? ip : { version: familyDigit(ip.address), ...ip })),
    ),
    ...present('routes', result.routes.map((route) => (full ? route : { dst: route.dst, gw: route.gw })).map(defined)),
    dns: result.dns,
  };
}

const unknownTo1_0 = { mtu: undefined, socketPath: undefined, pciID: undefined };

const defined = (value: object): object => Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined));

const present = (name: string, values: readonly object[]): object => (values.length === 0 ? {} : { [name]: values });

const familyDigit = (address: string): string => (address.includes(':') ? '6' : '4');

/** 0.1.0 and 0.2.0: one address of each family and no interfaces. */
function early(cniVersion: CniVersion, { ips, routes, dns }: CniResult): object {
  const half = (digit: string): object | undefined => {
    const ip = ips.find(({ address }) => familyDigit(address) === digit);
    if (ip === undefined) return undefined;
    const own = routes.filter(({ dst }) => familyDigit(dst) === digit).map(({ dst, gw }) => defined({ dst, gw }));
    return defined({ ip: ip.address, gateway: ip.gateway, routes: own.length === 0 ? undefined : own });
  };
  return defined({ cniVersion, ip4: half('4'), ip6: half('6'), dns });
}

/** A prevResult in the version that it states, else in that of the configuration. `undefined` when there is none. */
export function parsePrevResult(value: unknown, configVersion: CniVersion): CniResult | undefined {
  if (value === undefined || value === null) return undefined;
  const object = members(value, 'prevResult');
  const stated = text(object, 'cniVersion', 'prevResult.');
  const version = stated === undefined || stated === '' ? configVersion : stated;
  if (!isCniVersion(version))
    throw new CniFailure(
      cniCodes.version,
      'incompatible CNI versions',
      `prevResult is "${version}", plugin supports [${cniVersions.map((known) => `"${known}"`).join(' ')}]`,
    );
  return isAtLeast(version, '0.3.0') ? parseCurrent(object) : parseEarly(object);
}

function parseCurrent(object: Members): CniResult {
  const interfaces = list(object, 'interfaces', 'prevResult.').map((one, at) =>
    interfaceOf(members(one, `prevResult.interfaces[${at}]`), `prevResult.interfaces[${at}].`),
  );
  return {
    interfaces,
    ips: list(object, 'ips', 'prevResult.').map((one, at) => {
      const ip = ipOf(members(one, `prevResult.ips[${at}]`), `prevResult.ips[${at}].`);
      // Some plugins write -1 for "no interface"; an index that leads nowhere is an error of the one before us.
      if (ip.interface !== undefined && ip.interface >= interfaces.length)
        throw wrong(
          `prevResult.ips[${at}].interface`,
          `an index into the ${interfaces.length} interfaces`,
          ip.interface,
        );
      return ip;
    }),
    routes: list(object, 'routes', 'prevResult.').map((one, at) =>
      routeOf(members(one, `prevResult.routes[${at}]`), `prevResult.routes[${at}].`),
    ),
    dns: dnsOf(optionalMembers(object, 'dns', 'prevResult.') ?? {}, 'prevResult.dns.'),
  };
}

function parseEarly(object: Members): CniResult {
  const halves = (['ip4', 'ip6'] as const).flatMap((name) => {
    const half = optionalMembers(object, name, 'prevResult.');
    return half === undefined ? [] : [{ half, field: `prevResult.${name}.` }];
  });
  return {
    interfaces: [],
    ips: halves.map(({ half, field }) => {
      const gateway = gatewayOf(half, 'gateway', field);
      return { address: addressOf(half, 'ip', field), ...(gateway === undefined ? {} : { gateway }) };
    }),
    routes: halves.flatMap(({ half, field }) =>
      list(half, 'routes', field).map((one, at) =>
        routeOf(members(one, `${field}routes[${at}]`), `${field}routes[${at}].`),
      ),
    ),
    dns: dnsOf(optionalMembers(object, 'dns', 'prevResult.') ?? {}, 'prevResult.dns.'),
  };
}

function interfaceOf(of: Members, field: string): CniInterface {
  return some({
    name: text(of, 'name', field) ?? '',
    mac: text(of, 'mac', field) || undefined,
    mtu: count(of, 'mtu', field) || undefined,
    sandbox: text(of, 'sandbox', field) || undefined,
    socketPath: text(of, 'socketPath', field) || undefined,
    pciID: text(of, 'pciID', field) || undefined,
  });
}

function ipOf(of: Members, field: string): CniIp {
  const index = of['interface'] === -1 ? undefined : count(of, 'interface', field);
  return some({ address: addressOf(of, 'address', field), gateway: gatewayOf(of, 'gateway', field), interface: index });
}

function routeOf(of: Members, field: string): CniRoute {
  const dst = text(of, 'dst', field) ?? '';
  if (parseBlock(dst) === undefined) throw wrong(`${field}dst`, 'a CIDR', dst);
  return some({
    dst,
    gw: gatewayOf(of, 'gw', field),
    mtu: count(of, 'mtu', field),
    advmss: count(of, 'advmss', field),
    priority: count(of, 'priority', field),
    table: count(of, 'table', field),
    scope: count(of, 'scope', field),
  });
}

/** Also of configurations, which say it in the same words. */
export function dnsOf(of: Members, field: string): CniDns {
  const filled = (values: readonly string[]): readonly string[] | undefined =>
    values.length === 0 ? undefined : values;
  return some({
    nameservers: filled(texts(of, 'nameservers', field)),
    domain: text(of, 'domain', field) || undefined,
    search: filled(texts(of, 'search', field)),
    options: filled(texts(of, 'options', field)),
  });
}

function addressOf(of: Members, name: string, field: string): string {
  const address = text(of, name, field) ?? '';
  if (parseBlock(address) === undefined) throw wrong(`${field}${name}`, 'an address with its prefix length', address);
  return address;
}

function gatewayOf(of: Members, name: string, field: string): string | undefined {
  const gateway = text(of, name, field) || undefined;
  if (gateway !== undefined && parseIp(gateway) === undefined) throw wrong(`${field}${name}`, 'an IP address', gateway);
  return gateway;
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

const some = <T extends object>(value: T): Defined<T> => defined(value) as Defined<T>;

/** What the plugins before us made, and then ours: the indexes of our addresses move behind theirs. */
export function appended(before: CniResult, own: CniResult): CniResult {
  const offset = before.interfaces.length;
  return {
    interfaces: [...before.interfaces, ...own.interfaces],
    ips: [
      ...before.ips,
      ...own.ips.map((ip) => (ip.interface === undefined ? ip : { ...ip, interface: ip.interface + offset })),
    ],
    routes: [...before.routes, ...own.routes],
    dns: isEqual(own.dns, {}) ? before.dns : own.dns,
  };
}
