import { createHash } from 'node:crypto';
import type { Cloud } from '../cloud.ts';
import type { LoadBalancer, Mapping } from '../records.ts';

/** Gives the load balancer one network interface per subnet with its security groups, and takes away those of the old placement. */
export function placeInterfaces(cloud: Cloud, balancer: LoadBalancer, old?: LoadBalancer): void {
  for (const { subnetId } of balancer.mappings) {
    const id = interfaceId(balancer, subnetId);
    cloud.interfaces.put(id, {
      id,
      vpcId: balancer.vpcId,
      subnetId,
      zone: cloud.subnets.get(subnetId)?.zone ?? '',
      type: 'network_load_balancer',
      description: `ELB net/${balancer.name}/${balancer.id}`,
      groups: balancer.securityGroups,
      addresses: [],
      ipv6Addresses: [],
      sourceDestCheck: false,
      tags: {},
    });
  }
  const left = new Set(balancer.mappings.map(({ subnetId }) => subnetId));
  const gone = old?.mappings.filter(({ subnetId }) => !left.has(subnetId)) ?? [];
  for (const { subnetId } of gone) linger(cloud, interfaceId(balancer, subnetId));
  releaseAddresses(cloud, old?.mappings ?? []);
  for (const { allocationId } of balancer.mappings) {
    const address = allocationId === undefined ? undefined : cloud.addresses.get(allocationId);
    if (address !== undefined) cloud.addresses.put(address.allocationId, { ...address, usedBy: balancer.arn });
  }
}

/** The interfaces of a load balancer outlive it for a while, and hold its security groups. */
export function dropInterfaces(cloud: Cloud, balancer: LoadBalancer): void {
  for (const { subnetId } of balancer.mappings) linger(cloud, interfaceId(balancer, subnetId));
  releaseAddresses(cloud, balancer.mappings);
}

function linger(cloud: Cloud, id: string): void {
  const { interfaces, settings } = cloud;
  const found = interfaces.get(id);
  if (found === undefined) return;
  if (settings.interfaceLingerMs === 0) interfaces.remove(id);
  else interfaces.put(id, { ...found, goneMs: cloud.nowMs() + settings.interfaceLingerMs });
}

function releaseAddresses({ addresses }: Cloud, mappings: readonly Mapping[]): void {
  for (const { allocationId } of mappings) {
    const address = allocationId === undefined ? undefined : addresses.get(allocationId);
    if (address === undefined) continue;
    const { usedBy: _, ...free } = address;
    addresses.put(address.allocationId, free);
  }
}

function interfaceId({ arn }: LoadBalancer, subnetId: string): string {
  return `eni-${createHash('sha256').update(`${arn} ${subnetId}`).digest('hex').slice(0, 17)}`;
}
