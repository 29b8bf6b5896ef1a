import { compareText } from '../../src/core/equal.ts';
import { failure } from '../../src/core/errors.ts';
import { type Block, blockOf, hasIp } from '../../src/core/net/cidr.ts';
import { parseIp } from '../../src/core/net/ip.ts';
import type { Cidr, Target } from '../../src/core/provider.ts';
import { PREFIX } from './annotation-table.ts';
import type { Desired, DesiredPort, Facts, Settings, TargetDescription } from './model.ts';

/** Instance id in a providerID: `aws:///zone/i-...`, `aws:////i-...` or bare. `undefined`: no instance of EC2. */
export function instanceIdOf(providerId: string): string | undefined {
  const last = providerId.slice(providerId.lastIndexOf('/') + 1);
  return last.startsWith('i-') ? last : undefined;
}

/** Identity of a target: the same one on another port is another target. */
export const targetKey = ({ id, port }: Pick<TargetDescription, 'id' | 'port'>): string => `${id}:${port}`;

/**
 * What is to be registered for one port, sorted by id, then port; nothing twice. Who drains is not wanted: AWS keeps its
 * connections. Throws FL_AWS_ANNOTATION for a pod address outside the VPC, unless the settings allow it.
 */
export function targetsOf(
  desired: Pick<Desired, 'targetType' | 'targets'>,
  port: DesiredPort,
  { vpcCidrs }: Facts,
  { allowOutsideVpc, maxTargetsPerGroup }: Settings,
): readonly TargetDescription[] {
  const wanted = new Map<string, TargetDescription>();
  const blocks = vpcCidrs.map(blockOf);
  for (const target of desired.targets) {
    if (target.draining === true) continue;
    const number = portOf(target, port);
    const id = targetId(target, desired);
    if (number === 0 || id === undefined || id === '') continue;
    const isOutside = desired.targetType === 'ip' && !isInside(id, blocks);
    if (isOutside && !allowOutsideVpc) throw outside(id, vpcCidrs);
    const description = { id, port: number, ...(isOutside ? { zone: 'all' } : {}) };
    wanted.set(targetKey(description), description);
  }
  const sorted = [...wanted.values()].sort((a, b) => compareText(a.id, b.id) || a.port - b.port);
  return sorted.slice(0, maxTargetsPerGroup ?? sorted.length);
}

/** The ports on which targets take this Service port. */
export function portNumbers({ targets }: Desired, port: DesiredPort): readonly number[] {
  if (port.targetPort > 0) return [port.targetPort];
  return [...new Set(targets.map((target) => portOf(target, port)))]
    .filter((number) => number > 0)
    .sort((a, b) => a - b);
}

/** Instance id or address; `undefined`: it cannot be a target. */
export function targetId(target: Target, { targetType }: Pick<Desired, 'targetType'>): string | undefined {
  return targetType === 'instance' ? instanceIdOf(target.id) : target.address;
}

const portOf = (target: Target, { targetPort, portName }: DesiredPort): number =>
  targetPort > 0 ? targetPort : (target.ports?.[portName] ?? 0);

/** Without known CIDRs nothing is outside. */
function isInside(address: string, blocks: readonly Block[]): boolean {
  const ip = parseIp(address);
  return blocks.length === 0 || (ip !== undefined && blocks.some((block) => hasIp(block, ip)));
}

function outside(address: string, cidrs: readonly Cidr[]): Error {
  const field = `${PREFIX}nlb-target-type`;
  const message = `pod address ${address} is outside the VPC (${cidrs.join(', ')}), where a load balancer does not reach it`;
  return failure('FL_AWS_ANNOTATION', `${field}: ${message}; use instance`, { field });
}
