/** Services on AWS, as people have them: kubectl on one side, on the other what moto holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actions } from '../../providers/aws/iam.ts';
import type { Service } from '../../src/core/objects.ts';
import type { Held, HeldLoadBalancer } from './aws/cloud.ts';
import { createWorld, PATIENCE_MS, type World } from './aws/world.ts';
import { eventually } from './world.ts';

const PREFIX = 'service.beta.kubernetes.io/aws-load-balancer-';

test('a Service by kubectl: its load balancer follows every change and leaves nothing', async (t) => {
  const world = await createWorld(t);
  if (world === undefined) return;
  const { cloud, account, seeded } = world;
  const before = await cloud.held();
  const called = new Set<string>();
  account.fault = ({ operation }) => {
    called.add(operation);
    return undefined;
  };
  for (const [index, { id, zone, privateDnsName, address }] of seeded.instances.entries()) {
    const podCIDRs = [`192.168.${index * 32 + 16}.0/24`];
    await world.join({ name: privateDnsName, providerID: `aws:///${zone}/${id}`, address, podCIDRs });
  }
  const controller = await world.start('one', ['--controllers=service']);

  await t.test(
    'created: an internal NLB with a listener per port, all nodes as targets, its hostname in the status',
    async () => {
      await world.apply(service([port('http', 80), port('https', 443)]));
      await shows(world);
      const { nodePorts } = await facts(world);
      await eventually(async () => {
        const held = await cloud.held();
        const one = only(held);
        assert.deepEqual([one.scheme, one.type], ['internal', 'network']);
        assert.match(one.name, /^k8s-default-web-[0-9a-f]{10}$/);
        assert.deepEqual(one.subnets, seeded.subnetIds.toSorted());
        assert.deepEqual(
          one.listeners.map((text) => text.replace(/ -> .*/, '')),
          ['TCP:443', 'TCP:80'],
        );
        assert.equal(one.tags['fairlead.dev/cluster'], 'e2e');
        assert.equal(one.tags['fairlead.dev/service-uid'], (await world.service('web')).metadata.uid);
        assert.deepEqual(
          held.targetGroups.map(({ port: number, protocol, type }) => `${type} ${protocol} ${number}`).sort(),
          nodePorts.map((number) => `instance TCP ${number}`).sort(),
        );
        for (const { port: number, targets } of held.targetGroups)
          assert.deepEqual(targets, seeded.instances.map(({ id }) => `${id}:${number}`).sort());
      }, PATIENCE_MS);
      const { status, metadata } = await world.service('web');
      const [entry] = status?.loadBalancer?.ingress ?? [];
      assert.equal(entry?.hostname, only(await cloud.held()).dnsName.toLowerCase());
      assert.deepEqual(
        entry?.ports?.map((one) => one.port),
        [80, 443],
      );
      assert.deepEqual(metadata.finalizers, ['fairlead.dev/load-balancer']);
    },
  );

  await t.test('the group of the nodes lets the load balancer in, and nobody else', async () => {
    await eventually(async () => {
      const held = await cloud.held();
      const backend = held.securityGroups.find(({ name }) => name.startsWith('k8s-fairlead-'));
      assert.ok(only(held).securityGroups.includes(backend?.id ?? 'none'));
      const { nodePorts } = await facts(world);
      const [low, high] = [Math.min(...nodePorts), Math.max(...nodePorts)];
      const added = ingressOf(held, seeded.nodeSecurityGroupId).filter(
        (rule) => !ingressOf(before, seeded.nodeSecurityGroupId).includes(rule),
      );
      assert.deepEqual(added, [`tcp ${low}-${high} from ${backend?.id} (fairlead.dev/cluster=e2e)`]);
    }, PATIENCE_MS);
  });

  await t.test('a node that joins is registered, one that goes is deregistered', async () => {
    const { id, zone, privateDnsName, address } = await cloud.runInstance();
    const name = privateDnsName;
    await world.join({ name, providerID: `aws:///${zone}/${id}`, address, podCIDRs: ['192.168.17.0/24'] });
    await everyGroupHas(world, [...seeded.instances.map((one) => one.id), id]);
    await world.kubectl('delete', 'node', name);
    await everyGroupHas(
      world,
      seeded.instances.map((one) => one.id),
    );
    await cloud.terminate(id);
  });

  await t.test('a port comes and a port goes: the others stay as they are', async () => {
    const groupOf = (held: Held, number: number) =>
      only(held).listeners.find((text) => text.startsWith(`TCP:${number} `));
    const kept = groupOf(await cloud.held(), 80);
    await world.apply(service([port('http', 80), port('admin', 8080)]));
    await eventually(async () => {
      const held = await cloud.held();
      assert.deepEqual(
        only(held).listeners.map((text) => text.replace(/ -> .*/, '')),
        ['TCP:80', 'TCP:8080'],
      );
      assert.equal(held.targetGroups.length, 2);
      assert.equal(groupOf(held, 80), kept);
    }, PATIENCE_MS);
  });

  await t.test('annotations come and go: attributes and health checks follow, and are reset', async () => {
    const wanted = {
      [`${PREFIX}attributes`]: 'load_balancing.cross_zone.enabled=true',
      [`${PREFIX}healthcheck-interval`]: '30',
    };
    await world.apply(service([port('http', 80)], wanted));
    await eventually(async () => {
      const held = await cloud.held();
      const attributes = await cloud.attributes(only(held).arn);
      assert.equal(attributes['load_balancing.cross_zone.enabled'], 'true');
      assert.deepEqual(
        held.targetGroups.map(({ health }) => health),
        ['TCP traffic-port 30s'],
      );
    }, PATIENCE_MS);
    await world.apply(service([port('http', 80)]));
    await eventually(async () => {
      const held = await cloud.held();
      const attributes = await cloud.attributes(only(held).arn);
      assert.equal(attributes['load_balancing.cross_zone.enabled'], 'false');
      assert.deepEqual(
        held.targetGroups.map(({ health }) => health),
        ['TCP traffic-port 10s'],
      );
    }, PATIENCE_MS);
  });

  await t.test('a wrong annotation: an Event and a condition name it, the load balancer stays', async () => {
    const good = only(await cloud.held());
    await world.apply(service([port('http', 80)], { [`${PREFIX}subnets`]: 'subnet-00000000' }));
    await eventually(async () => {
      const { status } = await world.service('web');
      const said = (status?.conditions ?? []).map(({ message = '' }) => message).join('\n');
      assert.match(said, /aws-load-balancer-subnets.*subnet-00000000/s);
      const events = await world.events('Service', 'web');
      assert.ok(
        events.some((text) => /^Warning .*subnet-00000000/.test(text)),
        events.join('\n'),
      );
    }, PATIENCE_MS);
    assert.deepEqual(only(await cloud.held()), good);
    await world.apply(service([port('http', 80)], { [`${PREFIX}schema`]: 'internal' }));
    await eventually(async () => {
      const events = await world.events('Service', 'web');
      assert.ok(
        events.some((text) => /^Warning UnknownAnnotation: .*aws-load-balancer-schema/.test(text)),
        events.join('\n'),
      );
    }, PATIENCE_MS);
    await world.apply(service([port('http', 80)]));
  });

  await t.test('from nodes to pods: the new group is there before the old one goes', async () => {
    await world.apply(slice('web', ['192.168.16.10', '192.168.48.10']));
    await world.apply(service([port('http', 80)], { [`${PREFIX}nlb-target-type`]: 'ip' }));
    await eventually(async () => {
      const { targetGroups } = await cloud.held();
      assert.deepEqual(
        targetGroups.map(({ type, targets }) => [type, targets]),
        [['ip', ['192.168.16.10:8080', '192.168.48.10:8080']]],
      );
    }, PATIENCE_MS);
    await world.apply(slice('web', ['192.168.16.11', '192.168.48.10']));
    await eventually(async () => {
      const { targetGroups } = await cloud.held();
      assert.deepEqual(targetGroups[0]?.targets, ['192.168.16.11:8080', '192.168.48.10:8080']);
    }, PATIENCE_MS);
  });

  await t.test('another scheme: a second load balancer, and the hostname changes over to it', async () => {
    const old = only(await cloud.held());
    await world.apply(
      service([port('http', 80)], { [`${PREFIX}nlb-target-type`]: 'ip', [`${PREFIX}scheme`]: 'internet-facing' }),
    );
    await eventually(async () => {
      const { loadBalancers } = await cloud.held();
      const fresh = loadBalancers.find(({ scheme }) => scheme === 'internet-facing');
      assert.ok(fresh);
      const [entry] = (await world.service('web')).status?.loadBalancer?.ingress ?? [];
      assert.equal(entry?.hostname, fresh.dnsName.toLowerCase());
    }, PATIENCE_MS);
    // Resolvers know the old name for a while: it goes minutes later.
    assert.ok((await cloud.held()).loadBalancers.some(({ arn }) => arn === old.arn));
  });

  await t.test(
    'what somebody deleted behind our back comes back at the next start, which otherwise writes nothing',
    async () => {
      assert.equal(await controller.stop(), 'exit 0');
      account.clear();
      const two = await world.start('two', ['--controllers=service']);
      await eventually(async () => assert.ok(two.said('info').some(({ msg }) => msg === 'audit')), PATIENCE_MS);
      const writes = Object.keys(account.counts()).filter((name) => !/^(Describe|Get)/.test(name));
      assert.deepEqual(writes, []);
      assert.equal(await two.stop(), 'exit 0');
    },
  );

  await t.test('deleted: nothing of it is left in the account', async () => {
    const three = await world.start('three', ['--controllers=service']);
    await world.kubectl('delete', 'service', 'web', '--timeout=60s');
    await eventually(async () => assert.deepEqual(await cloud.held(), before), PATIENCE_MS);
    assert.deepEqual(three.said('error'), []);
  });

  await t.test('no call was made that the IAM policy does not know', () => {
    const known = Object.values(actions).flatMap((service) => Object.keys(service));
    assert.deepEqual(
      [...called].filter((operation) => !known.includes(operation)),
      [],
    );
    assert.ok(called.size > 20, [...called].join());
  });
});

test('AWS does not work: the Service says why, the load balancer stays, and all is well again afterwards', async (t) => {
  const world = await createWorld(t);
  if (world === undefined) return;
  const { account, cloud, seeded } = world;
  for (const { id, zone, privateDnsName, address } of seeded.instances)
    await world.join({ name: privateDnsName, providerID: `aws:///${zone}/${id}`, address });
  const controller = await world.start('one', ['--controllers=service']);
  await world.apply(service([port('http', 80)]));
  await shows(world);
  const { status } = await world.service('web');

  const denied =
    '<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/x is not authorized to perform: elasticloadbalancing:CreateTargetGroup</Message></Error><RequestId>1</RequestId></ErrorResponse>';
  const throttled =
    '<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>1</RequestId></ErrorResponse>';
  for (const { name, fault, says } of [
    { name: 'access denied', fault: { status: 403, body: denied }, says: /elasticloadbalancing:CreateTargetGroup/ },
    // No news before five minutes (controllers.md): the work shows as under way.
    { name: 'throttling', fault: { status: 400, body: throttled }, says: undefined },
    { name: 'garbage', fault: { status: 200, body: '<html>It works!</html>' }, says: /CreateTargetGroup/ },
    { name: 'broken connections', fault: 'break', says: /CreateTargetGroup/ },
  ] as const) {
    await t.test(`${name}: said, retried, and over when it is over`, async (t) => {
      t.after(() => {
        account.fault = undefined;
      });
      account.fault = ({ operation }) => (operation === 'CreateTargetGroup' ? fault : undefined);
      const extra = 1000 + account.calls.length; // a port that no other case has
      await world.apply(service([port('http', 80), port('extra', extra)]));
      const before = account.calls.length;
      await eventually(async () => {
        if (says === undefined) {
          const tries = account.calls.slice(before).filter(({ operation }) => operation === 'CreateTargetGroup');
          assert.ok(tries.length > 4, `${tries.length} tries`);
          const conditions = (await world.service('web')).status?.conditions ?? [];
          assert.equal(conditions.find(({ type }) => type === 'LoadBalancerProvisioning')?.status, 'True');
          return;
        }
        const events = await world.events('Service', 'web');
        assert.ok(
          events.some((text) => text.startsWith('Warning') && says.test(text)),
          events.join('\n'),
        );
      }, PATIENCE_MS);
      assert.deepEqual((await world.service('web')).status?.loadBalancer?.ingress?.[0]?.hostname, hostnameOf(status));
      assert.equal(
        only(await cloud.held()).listeners.some((text) => text.startsWith('TCP:80 ')),
        true,
      );
      assert.equal(controller.program.end, undefined);
      account.fault = undefined;
      // Denied and invalid wait for a change or minutes; a change is what a person makes then.
      await world.apply(service([port('http', 80), port('extra', extra), port('more', extra + 1)]));
      await eventually(
        async () => assert.ok(only(await cloud.held()).listeners.some((text) => text.startsWith(`TCP:${extra} `))),
        PATIENCE_MS,
      );
    });
  }
});

function service(ports: readonly object[], annotations: Readonly<Record<string, string>> = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default', annotations },
    spec: { type: 'LoadBalancer', loadBalancerClass: 'fairlead.dev/aws', selector: { app: 'web' }, ports },
  };
}

function port(name: string, number: number): object {
  return { name, port: number, targetPort: 8080, protocol: 'TCP' };
}

function slice(name: string, addresses: readonly string[]): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({
      addresses: [address],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'Pod', namespace: 'default', name: `pod-${address}`, uid: `uid-${address}` },
    })),
  };
}

/** Until the status has a hostname; the error tells the conditions. */
async function shows(world: World): Promise<void> {
  await eventually(async () => {
    const { status } = await world.service('web');
    const why = (status?.conditions ?? []).map(({ type, message }) => `${type}: ${message}`).join('\n');
    assert.notEqual(hostnameOf(status), undefined, `no hostname\n${why}`);
  }, PATIENCE_MS);
}

function hostnameOf(status: Service['status']): string | undefined {
  return status?.loadBalancer?.ingress?.[0]?.hostname;
}

async function facts(world: World): Promise<{ readonly nodePorts: readonly number[] }> {
  const { spec } = await world.service('web');
  return { nodePorts: (spec.ports ?? []).flatMap(({ nodePort }) => nodePort ?? []) };
}

function only({ loadBalancers }: Held): HeldLoadBalancer {
  const [one] = loadBalancers;
  assert.equal(loadBalancers.length, 1);
  return one as HeldLoadBalancer;
}

function ingressOf({ securityGroups }: Held, id: string): readonly string[] {
  return securityGroups.find((group) => group.id === id)?.ingress ?? [];
}

async function everyGroupHas({ cloud }: World, ids: readonly string[]): Promise<void> {
  await eventually(async () => {
    const { targetGroups } = await cloud.held();
    for (const { port: number, targets } of targetGroups)
      assert.deepEqual(targets, ids.map((id) => `${id}:${number}`).sort());
  }, PATIENCE_MS);
}
