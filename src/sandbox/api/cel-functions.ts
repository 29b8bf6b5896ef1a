/**
 * Functions that Kubernetes adds to CEL and that the library lacks: strings, lists, IP addresses and CIDRs. Quantities,
 * URLs, versions and the authorizer are left out: a rule that uses them is refused.
 */
import type { Environment } from '@marcbachmann/cel-js';
import { type Block, blockAt, contains, hasIp, parseBlock } from '../../core/net/cidr.ts';
import { BITS, formatIp, type Ip, parseIp } from '../../core/net/ip.ts';
import { patternOf } from './pattern.ts';

class IpValue {
  readonly ip: Ip;
  constructor(ip: Ip) {
    this.ip = ip;
  }
}

class CidrValue {
  readonly ip: Ip;
  readonly bits: number;
  constructor(ip: Ip, bits: number) {
    this.ip = ip;
    this.bits = bits;
  }
  get block(): Block {
    return blockAt(this.ip, this.bits);
  }
}

export function registerKubernetes(environment: Environment): void {
  registerStrings(environment);
  registerLists(environment);
  registerAddresses(environment);
}

function registerStrings(environment: Environment): void {
  environment
    .registerFunction('string.replace(string, string): string', (text: string, from: string, to: string) =>
      text.replaceAll(from, () => to),
    )
    .registerFunction('string.charAt(int): string', (text: string, at: bigint) => text.charAt(Number(at)))
    .registerFunction('string.find(string): string', (text: string, pattern: string) =>
      String(patternOf(pattern).exec(text)?.[0] ?? ''),
    )
    .registerFunction('string.findAll(string): list<string>', (text: string, pattern: string) =>
      [...text.matchAll(new RegExp(patternOf(pattern), 'gu'))].map(([found]) => found),
    )
    .registerFunction('matches(string, string): bool', (text: string, pattern: string) => patternOf(pattern).test(text))
    .registerFunction('string.format(list<dyn>): string', format);
}

/** Only %s and %d, and %% for itself. */
function format(template: string, values: readonly unknown[]): string {
  let next = 0;
  return template.replace(/%(.?)/g, (_, verb: string) => {
    if (verb === '%') return '%';
    if (verb !== 's' && verb !== 'd') throw new Error(`format: %${verb} is not supported`);
    if (next >= values.length) throw new Error('format: too few arguments');
    return String(values[next++]);
  });
}

function registerLists(environment: Environment): void {
  for (const type of ['int', 'double', 'string']) {
    environment
      .registerFunction(`list<${type}>.isSorted(): bool`, (list: readonly (bigint | number | string)[]) =>
        list.every((item, at) => at === 0 || (list[at - 1] ?? item) <= item),
      )
      .registerFunction(`list<${type}>.min(): ${type}`, (list: readonly (bigint | number | string)[]) =>
        extreme(list, -1),
      )
      .registerFunction(`list<${type}>.max(): ${type}`, (list: readonly (bigint | number | string)[]) =>
        extreme(list, 1),
      )
      .registerFunction(`list<${type}>.indexOf(${type}): int`, (list: readonly unknown[], item: unknown) =>
        BigInt(list.indexOf(item)),
      )
      .registerFunction(`list<${type}>.lastIndexOf(${type}): int`, (list: readonly unknown[], item: unknown) =>
        BigInt(list.lastIndexOf(item)),
      );
  }
  environment
    .registerFunction('list<int>.sum(): int', (list: readonly bigint[]) => list.reduce((sum, item) => sum + item, 0n))
    .registerFunction('list<double>.sum(): double', (list: readonly number[]) =>
      list.reduce((sum, item) => sum + item, 0),
    );
}

function extreme<T extends bigint | number | string>(list: readonly T[], sign: number): T {
  if (list.length === 0) throw new Error(`${sign < 0 ? 'min' : 'max'} called on empty list`);
  return list.reduce((best, item) => ((sign < 0 ? item < best : item > best) ? item : best));
}

function registerAddresses(environment: Environment): void {
  environment
    .registerType('net.IP', { ctor: IpValue, fields: {} })
    .registerType('net.CIDR', { ctor: CidrValue, fields: {} })
    .registerOperator('net.IP == net.IP', (a: IpValue, b: IpValue) => formatIp(a.ip) === formatIp(b.ip))
    .registerOperator('net.CIDR == net.CIDR', (a: CidrValue, b: CidrValue) => cidrText(a) === cidrText(b))
    .registerFunction('isIP(string): bool', (text: string) => parseIp(text) !== undefined)
    .registerFunction('ip(string): net.IP', (text: string) => ipOf(text))
    .registerFunction('string(net.IP): string', ({ ip }: IpValue) => formatIp(ip))
    .registerFunction('net.IP.family(): int', ({ ip }: IpValue) => (ip.family === 'ipv4' ? 4n : 6n))
    .registerFunction('net.IP.isUnspecified(): bool', ({ ip }: IpValue) => ip.value === 0n)
    .registerFunction('net.IP.isLoopback(): bool', ({ ip }: IpValue) => isIn(ip, '127.0.0.0/8', '::1/128'))
    .registerFunction('net.IP.isLinkLocalUnicast(): bool', ({ ip }: IpValue) => isIn(ip, '169.254.0.0/16', 'fe80::/10'))
    .registerFunction('net.IP.isLinkLocalMulticast(): bool', ({ ip }: IpValue) => isIn(ip, '224.0.0.0/24', 'ff02::/16'))
    .registerFunction('isCIDR(string): bool', (text: string) => cidrOf(text) !== undefined)
    .registerFunction('cidr(string): net.CIDR', (text: string) => needed(cidrOf(text), `CIDR ${JSON.stringify(text)}`))
    .registerFunction('string(net.CIDR): string', cidrText)
    .registerFunction('net.CIDR.ip(): net.IP', ({ ip }: CidrValue) => new IpValue(ip))
    .registerFunction('net.CIDR.prefixLength(): int', ({ bits }: CidrValue) => BigInt(bits))
    .registerFunction(
      'net.CIDR.masked(): net.CIDR',
      ({ block, bits }: CidrValue) => new CidrValue({ family: block.family, value: block.first }, bits),
    )
    .registerFunction('net.CIDR.containsIP(net.IP): bool', ({ block }: CidrValue, { ip }: IpValue) => hasIp(block, ip))
    .registerFunction('net.CIDR.containsIP(string): bool', ({ block }: CidrValue, text: string) =>
      hasIp(block, ipOf(text).ip),
    )
    .registerFunction('net.CIDR.containsCIDR(net.CIDR): bool', (a: CidrValue, b: CidrValue) =>
      contains(a.block, b.block),
    )
    .registerFunction('net.CIDR.containsCIDR(string): bool', ({ block }: CidrValue, text: string) =>
      contains(block, needed(cidrOf(text), `CIDR ${JSON.stringify(text)}`).block),
    );
}

const ipOf = (text: string): IpValue => new IpValue(needed(parseIp(text), `IP Address ${JSON.stringify(text)}`));

/** With its host bits, which `masked` clears. */
function cidrOf(text: string): CidrValue | undefined {
  const [address = '', bits = '', ...more] = text.split('/');
  const ip = parseIp(address);
  if (ip === undefined || more.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined;
  return Number(bits) <= BITS[ip.family] ? new CidrValue(ip, Number(bits)) : undefined;
}

const cidrText = ({ ip, bits }: CidrValue): string => `${formatIp(ip)}/${bits}`;

const isIn = (ip: Ip, ...cidrs: readonly string[]): boolean =>
  cidrs.some((cidr) => hasIp(needed(parseBlock(cidr), cidr), ip));

function needed<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what} is not valid`);
  return value;
}
