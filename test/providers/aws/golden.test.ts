import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createInterpret } from '../../../providers/aws/interpret.ts';
import type { Observed, Rule, Settings, Stack } from '../../../providers/aws/model.ts';
import { nameOf, ownerTags } from '../../../providers/aws/names.ts';
import { plan } from '../../../providers/aws/plan.ts';
import { resolve } from '../../../providers/aws/resolve.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Service } from '../../../src/core/objects.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { desiredOf } from '../../../src/core/service/desired.ts';
import { wantedOf } from '../../../src/core/service/wanted.ts';
import { emptyWorld, facts, settings, subnet } from './world.ts';

/** A case of the provider's page: a Service, what the controller was started with, facts, and the stack or the error. */
interface Golden {
  readonly name: string;
  readonly service: Service;
  readonly options: {
    readonly defaultScheme: Settings['defaultScheme'];
    readonly defaultTargetType: Settings['defaultTargetType'];
    readonly securityGroups: boolean;
    readonly backendSecurityGroup?: `sg-${string}`;
    readonly restrictedRules: boolean;
    readonly tcpUdp: boolean;
  };
  readonly facts: {
    readonly cluster: string;
    readonly vpcId: string;
    readonly vpcCidrs: readonly Cidr[];
    readonly namedSecurityGroups: Readonly<Record<string, string>>;
    readonly subnets: readonly { readonly id: string; readonly cidr: string; readonly ipv6Cidr?: Cidr }[];
    readonly loadBalancer: {
      readonly scheme: Settings['defaultScheme'];
      readonly subnets: readonly string[];
      readonly securityGroups: readonly string[];
      readonly attributes: Readonly<Record<string, string>>;
    } | null;
  };
  readonly want?: object;
  readonly wantError?: { readonly kind: string; readonly mentions: readonly string[] };
}

const folder = new URL('golden/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

test('there are golden cases', () => assert.ok(files.length >= 9, `only ${files.length}`));

for (const file of files) {
  const golden = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Golden;
  test(`golden case ${golden.name}`, () => {
    const { want, wantError } = golden;
    assert.equal(`${golden.name}.json`, file);
    if (wantError === undefined) return assert.deepEqual(sorted(stackOf(golden)), sorted(want));
    assert.throws(
      () => stackOf(golden),
      (error: unknown) => {
        assert.ok(isProviderError(error));
        assert.equal(error.kind, wantError.kind);
        for (const word of wantError.mentions) assert.match(error.message, new RegExp(word));
        return true;
      },
    );
  });
}

function stackOf(golden: Golden): object {
  const service = {
    ...golden.service,
    metadata: { ...golden.service.metadata, uid: golden.service.metadata.uid ?? '' },
  };
  const given: Settings = {
    ...settings,
    ...golden.options,
    cluster: golden.facts.cluster,
    backendSecurityGroup: golden.options.backendSecurityGroup ?? 'off',
  };
  // Taken as ours, whatever its class.
  const selection = { classes: new Set([service.spec.loadBalancerClass ?? '']) };
  if (!wantedOf(service, selection).want) return {};
  const { spec } = desiredOf(service, {
    cluster: given.cluster,
    interpret: createInterpret(given),
    members: [],
    slices: () => [],
  });
  return shown(resolve(plan(spec, given), worldOf(golden, service, given), given));
}

function worldOf({ facts: given }: Golden, { metadata }: Service, { cluster }: Settings): Observed {
  const { loadBalancer } = given;
  return emptyWorld({
    facts: facts({
      vpcId: given.vpcId,
      vpcCidrs: given.vpcCidrs,
      subnets: given.subnets.map(({ id, cidr, ipv6Cidr }) =>
        subnet(id, cidr, { vpcId: given.vpcId, ...(ipv6Cidr === undefined ? {} : { ipv6Cidr }) }),
      ),
      securityGroups: Object.entries(given.namedSecurityGroups).map(([Name, id]) => ({
        id,
        vpcId: given.vpcId,
        name: Name,
        tags: { Name },
      })),
    }),
    loadBalancers:
      loadBalancer === null
        ? []
        : [
            {
              arn: 'arn:lb',
              name: 'there',
              dnsName: 'there.example',
              ipAddressType: 'ipv4',
              state: 'active',
              capacityUnits: 0,
              listeners: [],
              tags: ownerTags(cluster, metadata.uid, 'LoadBalancer'),
              ...loadBalancer,
              subnets: loadBalancer.subnets.map((id) => ({ id })),
            },
          ],
  });
}

/** The stack in the words of the golden files. */
function shown({ securityGroup, loadBalancer, ports }: Stack): object {
  const { sourceNat, name, ...rest } = loadBalancer;
  const byPort = <T>(value: (port: Stack['ports'][number]) => T) =>
    Object.fromEntries(ports.map((port) => [port.port, value(port)]));
  return {
    securityGroup:
      securityGroup === undefined
        ? null
        : { ...securityGroup, name: nameOf(securityGroup.name), ingress: securityGroup.ingress.map(ruleText) },
    loadBalancer: { ...rest, name: nameOf(name), type: 'network', enablePrefixForIpv6SourceNat: sourceNat },
    targetGroups: byPort(({ group: { resource: _, ...group } }) => ({ ...group, name: nameOf(group.name) })),
    listeners: byPort(({ port, listener: { attributes: _, certificates, ...listener } }) => ({
      ...listener,
      ...(certificates.length === 0 ? {} : { certificates }),
      targetGroup: String(port),
    })),
    backendRules: byPort(({ backendRules }) =>
      backendRules.map(({ from, ports: open }) => ({
        from,
        ports: open.map(({ protocol, port }) => (port === undefined ? protocol : `${protocol} ${port}`)),
      })),
    ),
  };
}

function ruleText({ protocol, from, to, source }: Rule): string {
  const range = from === to ? `${from}` : `${from}-${to}`;
  return `${protocol} ${range} ${'cidr' in source ? source.cidr : 'group' in source ? source.group : source.prefixList}`;
}

/** Lists as sets, certificates ordered. */
function sorted(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => sorted(item));
    return key === 'certificates' ? items : items.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, sorted(member, name)]),
  );
}
