import type { Cloud } from './cloud.ts';
import { healthOf } from './elb/targets.ts';
import { isWithin } from './net.ts';
import type { FailReason, InstanceState, NetworkInterface, Rule, Tags } from './records.ts';

/** What others do in the account: administrators, the autoscaler, the CNI, applications. Past quotas, faults and delays. */
export interface Seed {
  vpc(given?: {
    readonly id?: string;
    readonly cidrs?: readonly string[];
    readonly ipv6Cidrs?: readonly string[];
    readonly tags?: Tags;
  }): string;
  subnet(given: {
    readonly id?: string;
    readonly vpcId: string;
    readonly zone: string;
    readonly cidr: string;
    readonly ipv6Cidr?: string;
    readonly available?: number;
    readonly tags?: Tags;
  }): string;
  /** With a local route for each CIDR of its VPC, and one to an internet gateway unless `isPrivate`. */
  routeTable(given: {
    readonly id?: string;
    readonly vpcId: string;
    readonly main?: boolean;
    readonly subnets?: readonly string[];
    readonly isPrivate?: boolean;
    readonly tags?: Tags;
  }): string;
  securityGroup(given: {
    readonly id?: string;
    readonly vpcId: string;
    readonly name: string;
    readonly description?: string;
    readonly ingress?: readonly Omit<Rule, 'id' | 'tags'>[];
    readonly tags?: Tags;
  }): string;
  /** A running instance with one interface, or as many as `interfaces` says. */
  instance(given: {
    readonly id?: string;
    readonly subnetId: string;
    /** Of the first interface; the first is its primary one. */
    readonly addresses: readonly string[];
    readonly ipv6Addresses?: readonly string[];
    readonly publicIp?: string;
    readonly groups?: readonly string[];
    readonly type?: string;
    readonly privateDnsName?: string;
    /** Further interfaces, by device index from 1 on. */
    readonly interfaces?: readonly { readonly addresses: readonly string[]; readonly groups?: readonly string[] }[];
    readonly tags?: Tags;
  }): string;
  setInstance(id: string, state: Exclude<InstanceState, 'terminated'>): void;
  /** Its interfaces go, and AWS takes it out of its target groups. */
  terminate(id: string): void;
  /** Addresses of a network interface, as a CNI sets them; the primary one stays. */
  setAddresses(interfaceId: string, secondary: readonly string[]): void;
  address(given?: { readonly allocationId?: string; readonly publicIp?: string; readonly tags?: Tags }): string;
  certificate(arn?: string): string;
  prefixList(id: string, maxEntries: number): string;
  /** What health checks meet at a target ('id' or 'id:port') from now on; undefined: it is well. */
  setHealth(target: string, fails: FailReason | undefined): void;
}

export function createSeed(cloud: Cloud): Seed {
  const make = (prefix: string, given: string | undefined): string => given ?? `${prefix}-${cloud.hex(17)}`;

  function addInterface(
    one: Omit<NetworkInterface, 'id' | 'description' | 'type' | 'sourceDestCheck' | 'tags'>,
  ): string {
    const id = `eni-${cloud.hex(17)}`;
    cloud.interfaces.put(id, { ...one, id, description: '', type: 'interface', sourceDestCheck: true, tags: {} });
    return id;
  }

  return {
    vpc({ id: given, cidrs = ['192.168.0.0/16'], ipv6Cidrs = [], tags = {} } = {}) {
      const id = make('vpc', given);
      cloud.vpcs.put(id, { id, cidrs, ipv6Cidrs, tags });
      return id;
    },
    subnet({ id: given, available = 4000, tags = {}, ...rest }) {
      const id = make('subnet', given);
      cloud.subnets.put(id, { ...rest, id, available, tags });
      return id;
    },
    routeTable({ id: given, vpcId, main = false, subnets = [], isPrivate = false, tags = {} }) {
      const id = make('rtb', given);
      const { cidrs = [], ipv6Cidrs = [] } = cloud.vpcs.get(vpcId) ?? {};
      const local = [...cidrs, ...ipv6Cidrs].map((destination) => ({ destination, target: { gatewayId: 'local' } }));
      const internet = { destination: '0.0.0.0/0', target: { gatewayId: 'igw-1' } };
      cloud.routeTables.put(id, {
        id,
        vpcId,
        main,
        subnets,
        routes: [...local, ...(isPrivate ? [] : [internet])],
        tags,
      });
      return id;
    },
    securityGroup({ id: given, vpcId, name, description = name, ingress = [], tags = {} }) {
      const id = make('sg', given);
      const rules = ingress.map((rule) => ({ ...rule, id: `sgr-${cloud.hex(17)}`, tags: {} }));
      cloud.securityGroups.put(id, { id, vpcId, name, description, ingress: rules, egress: [], tags });
      return id;
    },
    instance({ id: given, subnetId, addresses, ipv6Addresses = [], publicIp, groups = [], interfaces = [], ...rest }) {
      const id = make('i', given);
      const subnet = cloud.subnets.get(subnetId);
      if (subnet === undefined) throw new TypeError(`there is no subnet ${subnetId}`);
      const { vpcId, zone } = subnet;
      const primary = { ipv6Addresses, ...(publicIp === undefined ? {} : { publicIp }), addresses, groups };
      const interfaceIds = [primary, ...interfaces].map((one, deviceIndex) =>
        addInterface({ ipv6Addresses: [], groups: [], ...one, vpcId, subnetId, zone, instanceId: id, deviceIndex }),
      );
      const dns = `ip-${addresses[0]?.replaceAll('.', '-')}.${cloud.region}.compute.internal`;
      const { type = 'm5.large', privateDnsName = dns, tags = {} } = rest;
      cloud.instances.put(id, {
        id,
        vpcId,
        subnetId,
        zone,
        type,
        state: 'running',
        privateDnsName,
        publicDnsName: publicIp === undefined ? '' : `ec2-${publicIp.replaceAll('.', '-')}.compute.amazonaws.com`,
        launchMs: cloud.nowMs(),
        interfaceIds,
        tags,
      });
      return id;
    },
    setInstance(id, state) {
      const found = cloud.instances.get(id);
      if (found !== undefined) cloud.instances.put(id, { ...found, state });
    },
    terminate(id) {
      const found = cloud.instances.get(id);
      if (found === undefined) return;
      cloud.instances.put(id, { ...found, state: 'terminated', terminatedMs: cloud.nowMs() });
      for (const one of found.interfaceIds) cloud.interfaces.remove(one);
      for (const group of cloud.targetGroups.values()) {
        const targets = new Map([...group.targets].filter(([, target]) => target.id !== id));
        if (targets.size < group.targets.size) cloud.targetGroups.put(group.arn, { ...group, targets });
      }
    },
    setAddresses(interfaceId, secondary) {
      const found = cloud.interfaces.get(interfaceId);
      if (found === undefined) throw new TypeError(`there is no interface ${interfaceId}`);
      const subnet = cloud.subnets.get(found.subnetId);
      const outside = secondary.find((address) => !isWithin(address, [subnet?.cidr ?? '0.0.0.0/32']));
      if (outside !== undefined) throw new TypeError(`${outside} is not in the subnet of ${interfaceId}`);
      cloud.interfaces.put(interfaceId, { ...found, addresses: [...found.addresses.slice(0, 1), ...secondary] });
    },
    address({ allocationId: given, publicIp = '203.0.113.10', tags = {} } = {}) {
      const allocationId = make('eipalloc', given);
      cloud.addresses.put(allocationId, { allocationId, publicIp, tags });
      return allocationId;
    },
    certificate(arn = `arn:aws:acm:${cloud.region}:${cloud.account}:certificate/${cloud.hex(32)}`) {
      cloud.certificates.add(arn);
      return arn;
    },
    prefixList(id, maxEntries) {
      cloud.prefixLists.set(id, maxEntries);
      return id;
    },
    setHealth(target, fails) {
      if (fails === undefined) cloud.sick.delete(target);
      else cloud.sick.set(target, fails);
      const nowMs = cloud.nowMs();
      for (const group of cloud.targetGroups.values()) {
        const changed = [...group.targets].filter(
          ([, one]) => (one.id === target || `${one.id}:${one.port}` === target) && one.fails !== fails,
        );
        if (changed.length === 0) continue;
        const targets = new Map(group.targets);
        for (const [key, one] of changed) {
          const { State } = healthOf(cloud, group, one, nowMs);
          const before = State === 'healthy' || State === 'unhealthy' ? State : 'new';
          targets.set(key, { ...one, fails, changedMs: nowMs, before });
        }
        cloud.targetGroups.put(group.arn, { ...group, targets });
      }
    },
  };
}
