import assert from 'node:assert/strict';
import type {
  Act,
  Desired,
  Facts,
  ListenerRef,
  Observed,
  ObservedListener,
  ObservedLoadBalancer,
  ObservedRule,
  ObservedSecurityGroup,
  ObservedTarget,
  ObservedTargetGroup,
  Ref,
  RuleOf,
  Settings,
} from '../../../providers/aws/model.ts';
import { backendName, RESOURCE, TAG } from '../../../providers/aws/names.ts';
import { createNeeds } from '../../../providers/aws/needs.ts';
import { nodeRulesOf } from '../../../providers/aws/node-rules.ts';
import { isOurs } from '../../../providers/aws/ownership.ts';
import { keyOf } from '../../../providers/aws/rules.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
interface LoadBalancer extends Mutable<Omit<ObservedLoadBalancer, 'listeners' | 'attributes' | 'tags'>> {
  tags: Record<string, string>;
  attributes: Record<string, string>;
  listeners: Listener[];
}
interface Listener extends Mutable<Omit<ObservedListener, 'tags' | 'attributes' | 'certificates'>> {
  certificates: string[];
  tags: Record<string, string>;
  attributes: Record<string, string>;
}
interface Group extends Mutable<Omit<ObservedTargetGroup, 'targets' | 'attributes' | 'loadBalancers' | 'tags'>> {
  tags: Record<string, string>;
  attributes: Record<string, string>;
  targets: Mutable<ObservedTarget>[];
}
interface SecurityGroup extends Mutable<Omit<ObservedSecurityGroup, 'rules' | 'tags'>> {
  tags: Record<string, string>;
  rules: ObservedRule[];
}

/**
 * The rules of AWS that the decisions rely on, without time and wire: names are unique, a target group serves one load
 * balancer, what is in use cannot be deleted. An action that AWS would refuse fails the test.
 */
export class Cloud {
  loadBalancers: LoadBalancer[] = [];
  groups: Group[] = [];
  securityGroups: SecurityGroup[] = [];
  nowMs = 1_000_000_000;
  calls: string[] = [];
  readonly settings: Settings;
  readonly facts: Facts;
  readonly needs = createNeeds();
  #next = 0;

  constructor(settings: Settings, facts: Facts) {
    this.settings = settings;
    this.facts = facts;
  }

  /** What `observe` would give for a Service. `unread`: as after a restart. */
  observed(uid: string, { unread = false, complete = true } = {}): Observed {
    const mine = ({ tags }: { readonly tags: Readonly<Record<string, string>> }) =>
      isOurs(tags, this.settings.cluster, uid) || tags['service.k8s.aws/stack'] === uid;
    const backend = this.securityGroups.find(({ name }) => name === backendName(this.settings.cluster));
    return structuredCloneKeepingMaps({
      uid,
      nowMs: this.nowMs,
      startedMs: 0,
      loadBalancers: this.loadBalancers.filter(mine).map((one) => ({
        ...one,
        ...(unread ? { attributes: 'unread', listeners: 'unread', capacityUnits: 'unread' } : {}),
      })) as ObservedLoadBalancer[],
      targetGroups: this.groups.filter(mine).map((one) => ({
        ...one,
        loadBalancers: this.usersOf(one.arn).map(({ arn }) => arn),
        ...(unread ? { attributes: 'unread', targets: 'unread' } : {}),
      })) as ObservedTargetGroup[],
      securityGroups: this.securityGroups.filter(
        (one) =>
          mine(one) && (one.tags[TAG.resource] ?? one.tags['service.k8s.aws/resource']) === RESOURCE.securityGroup,
      ),
      names: {
        loadBalancers: new Map(this.loadBalancers.map(({ name, arn }) => [name, arn])),
        targetGroups: new Map(this.groups.map(({ name, arn }) => [name, arn])),
        securityGroups: new Map(this.securityGroups.map(({ name, id }) => [name, id])),
      },
      shared: {
        backend: {
          ...(backend === undefined ? {} : { group: backend }),
          users: this.loadBalancers.filter((one) => !mine(one) && one.securityGroups.includes(backend?.id ?? ''))
            .length,
          wanted: false,
        },
        nodeGroups: new Map(
          this.securityGroups.filter(({ name }) => name.startsWith('node')).map(({ id, rules }) => [id, rules]),
        ),
        needs: this.needs,
        complete,
      },
      facts: { ...this.facts, counts: { loadBalancers: this.loadBalancers.length, targetGroups: this.groups.length } },
    });
  }

  plan(desired: Desired): void {
    this.needs.put(desired.uid, nodeRulesOf(desired, this.observed(desired.uid), this.settings));
  }

  /** Time passes: load balancers come up, targets pass their checks, drained ones are gone. */
  settle(ms = 0): void {
    this.nowMs += ms;
    for (const one of this.loadBalancers) if (one.state === 'provisioning') one.state = 'active';
    for (const group of this.groups) {
      const served = this.usersOf(group.arn).length > 0;
      group.targets = group.targets.filter(({ state }) => state !== 'draining');
      for (const target of group.targets) {
        if (!served) target.state = 'unused';
        else if (target.state === 'unused') target.state = 'initial';
        else if (target.state === 'initial') target.state = 'healthy';
      }
    }
  }

  usersOf(group: string): LoadBalancer[] {
    return this.loadBalancers.filter(({ listeners }) =>
      listeners.some(({ forward }) => forward.some(({ arn }) => arn === group)),
    );
  }

  addSecurityGroup(name: string, tags: Record<string, string> = {}, rules: ObservedRule[] = []): string {
    const id = `sg-${++this.#next}`;
    this.securityGroups.push({ id, name, vpcId: this.facts.vpcId, tags, rules });
    return id;
  }

  apply(act: Act): void {
    this.calls.push(act.kind);
    assert.ok(act.target !== '' && act.reason !== '', `${act.kind} says neither what nor why`);
    switch (act.kind) {
      case 'CreateSecurityGroup': {
        assert.ok(!this.securityGroups.some(({ name }) => name === act.group.name), 'InvalidGroup.Duplicate');
        this.addSecurityGroup(act.group.name, { ...act.tags });
        return;
      }
      case 'AuthorizeSecurityGroupIngress': {
        const group = this.#securityGroup(act.group);
        for (const rule of act.rules.map((each) => this.#rule(each))) {
          assert.ok(
            !group.rules.some((has) => keyOf(has) === keyOf(rule)),
            `InvalidPermission.Duplicate ${keyOf(rule)}`,
          );
          group.rules.push(rule);
        }
        return;
      }
      case 'RevokeSecurityGroupIngress': {
        const group = this.#securityGroup(act.group);
        const gone = new Set(act.rules.map((each) => keyOf(this.#rule(each))));
        for (const rule of group.rules.filter((each) => gone.has(keyOf(each)))) {
          assert.notEqual(rule.description, 'foreign', `a foreign rule is revoked: ${keyOf(rule)}`);
        }
        group.rules = group.rules.filter((rule) => !gone.has(keyOf(rule)));
        return;
      }
      case 'DeleteSecurityGroup': {
        const { id } = this.#securityGroup(act.group);
        assert.ok(!this.loadBalancers.some((one) => one.securityGroups.includes(id)), 'DependencyViolation: attached');
        const isNamed = this.securityGroups.some(({ rules }) =>
          rules.some(({ source }) => 'group' in source && source.group === id),
        );
        assert.ok(!isNamed, 'DependencyViolation: a rule names it');
        this.securityGroups = this.securityGroups.filter((group) => group.id !== id);
        return;
      }
      case 'CreateTags':
        Object.assign(this.#securityGroup(act.group).tags, act.tags);
        return;
      case 'DeleteTags':
        for (const key of act.keys) delete this.#securityGroup(act.group).tags[key];
        return;
      case 'CreateLoadBalancer': {
        const { name } = act.loadBalancer;
        assert.ok(!this.loadBalancers.some((one) => one.name === name), 'DuplicateLoadBalancerName');
        assert.ok(act.subnets.length > 0, 'InvalidSubnet');
        this.loadBalancers.push({
          arn: `arn:lb/${++this.#next}`,
          name,
          dnsName: `${name}.ELB.example`,
          scheme: act.scheme,
          ipAddressType: act.ipAddressType,
          state: 'provisioning',
          createdMs: this.#next,
          subnets: [...act.subnets],
          securityGroups: act.securityGroups.map((ref) => this.#securityGroup(ref).id),
          sourceNat: act.sourceNat ?? 'off',
          tags: { ...act.tags },
          attributes: {},
          capacityUnits: 0,
          listeners: [],
        });
        return;
      }
      case 'SetSecurityGroups': {
        const one = this.#loadBalancer(act.loadBalancer);
        assert.ok(one.securityGroups.length > 0 && act.securityGroups.length > 0, 'InvalidConfigurationRequest');
        one.securityGroups = act.securityGroups.map((ref) => this.#securityGroup(ref).id);
        if (act.enforcePrivateLink !== undefined) one.enforcePrivateLink = act.enforcePrivateLink;
        return;
      }
      case 'SetSubnets': {
        const one = this.#loadBalancer(act.loadBalancer);
        one.subnets = [...act.subnets];
        if (act.sourceNat !== undefined) one.sourceNat = act.sourceNat;
        return;
      }
      case 'SetIpAddressType':
        this.#loadBalancer(act.loadBalancer).ipAddressType = act.ipAddressType;
        return;
      case 'ModifyLoadBalancerAttributes':
        Object.assign(this.#loadBalancer(act.loadBalancer).attributes, act.attributes);
        return;
      case 'ModifyCapacityReservation':
        this.#loadBalancer(act.loadBalancer).capacityUnits = act.units;
        return;
      case 'DeleteLoadBalancer': {
        const gone = this.#loadBalancer(act.loadBalancer);
        assert.notEqual(gone.attributes['deletion_protection.enabled'], 'true', 'OperationNotPermitted');
        this.loadBalancers = this.loadBalancers.filter((one) => one !== gone);
        return;
      }
      case 'CreateTargetGroup': {
        const { name } = act.targetGroup;
        assert.ok(!this.groups.some((group) => group.name === name), 'DuplicateTargetGroupName');
        const { targetType, protocol, port, ipAddressType, health, tags } = act;
        const arn = `arn:tg/${++this.#next}`;
        this.groups.push({
          arn,
          name,
          targetType,
          protocol,
          port,
          ipAddressType,
          health,
          tags: { ...tags },
          attributes: {},
          targets: [],
        });
        return;
      }
      case 'ModifyTargetGroup':
        this.#group(act.targetGroup).health = act.health;
        return;
      case 'ModifyTargetGroupAttributes':
        Object.assign(this.#group(act.targetGroup).attributes, act.attributes);
        return;
      case 'DeleteTargetGroup': {
        const gone = this.#group(act.targetGroup);
        assert.equal(this.usersOf(gone.arn).length, 0, 'ResourceInUse');
        this.groups = this.groups.filter((group) => group !== gone);
        return;
      }
      case 'RegisterTargets': {
        assert.ok(act.targets.length > 0 && act.targets.length <= 200);
        const group = this.#group(act.targetGroup);
        for (const target of act.targets) {
          group.targets = group.targets.filter(({ id, port }) => id !== target.id || port !== target.port);
          group.targets.push({ ...target, state: this.usersOf(group.arn).length > 0 ? 'initial' : 'unused' });
        }
        return;
      }
      case 'DeregisterTargets': {
        assert.ok(act.targets.length > 0 && act.targets.length <= 200);
        for (const target of this.#group(act.targetGroup).targets) {
          if (act.targets.some(({ id, port }) => id === target.id && port === target.port)) target.state = 'draining';
        }
        return;
      }
      case 'CreateListener': {
        const one = this.#loadBalancer(act.listener.loadBalancer);
        const { port } = act.listener;
        assert.ok(!one.listeners.some((each) => each.port === port), 'DuplicateListener');
        one.listeners.push({
          arn: `arn:listener/${++this.#next}`,
          port,
          protocol: act.protocol,
          ...(act.sslPolicy === undefined ? {} : { sslPolicy: act.sslPolicy }),
          certificates: act.certificate === undefined ? [] : [act.certificate],
          ...(act.alpnPolicy === undefined ? {} : { alpnPolicy: act.alpnPolicy }),
          forward: this.#forward(one, act.forward),
          tags: { ...act.tags },
          attributes: {},
        });
        return;
      }
      case 'ModifyListener': {
        const [one, listener] = this.#listener(act.listener);
        const { protocol, sslPolicy, certificate, alpnPolicy, forward } = act;
        if (protocol !== undefined) {
          const isUdp = protocol !== 'TCP' && protocol !== 'TLS';
          assert.ok(!(isUdp && one.ipAddressType === 'dualstack'), 'InvalidConfigurationRequest: dualstack');
          listener.protocol = protocol;
          if (protocol !== 'TLS')
            Object.assign(listener, { certificates: [], sslPolicy: undefined, alpnPolicy: undefined });
        }
        if (sslPolicy !== undefined) listener.sslPolicy = sslPolicy;
        if (alpnPolicy !== undefined) listener.alpnPolicy = alpnPolicy;
        if (certificate !== undefined) {
          listener.certificates = [certificate, ...listener.certificates.slice(1).filter((arn) => arn !== certificate)];
        }
        if (forward !== undefined) listener.forward = this.#forward(one, forward);
        return;
      }
      case 'ModifyListenerAttributes':
        Object.assign(this.#listener(act.listener)[1].attributes, act.attributes);
        return;
      case 'DeleteListener': {
        const [one, listener] = this.#listener(act.listener);
        assert.notEqual(listener.tags['owner'], 'foreign', 'a foreign listener is deleted');
        one.listeners = one.listeners.filter((each) => each !== listener);
        return;
      }
      case 'AddListenerCertificates': {
        const [, listener] = this.#listener(act.listener);
        assert.equal(listener.protocol, 'TLS', 'no TLS listener');
        if (!listener.certificates.slice(1).includes(act.certificate)) listener.certificates.push(act.certificate);
        return;
      }
      case 'RemoveListenerCertificates': {
        const [, listener] = this.#listener(act.listener);
        const [first = '', ...sni] = listener.certificates;
        listener.certificates = [first, ...sni.filter((arn) => arn !== act.certificate)];
        return;
      }
      case 'AddTags':
        Object.assign(this.#tagged(act.on).tags, act.tags);
        return;
      case 'RemoveTags':
        for (const key of act.keys) delete this.#tagged(act.on).tags[key];
        return;
      default:
        act satisfies never;
    }
  }

  #forward(
    one: LoadBalancer,
    forward: readonly { readonly group: Ref; readonly weight?: number }[],
  ): Listener['forward'] {
    return forward.map(({ group, weight }) => {
      if (group.resource === '' && group.id !== undefined) return { arn: group.id, weight: weight ?? 1 };
      const { arn } = this.#group(group);
      assert.ok(
        this.usersOf(arn).every((user) => user === one),
        'TargetGroupAssociationLimit',
      );
      return { arn, ...(weight === undefined ? {} : { weight }) };
    });
  }

  #rule({ protocol, from, to, source, description }: RuleOf<Ref>): ObservedRule {
    const seen = 'group' in source ? { group: this.#securityGroup(source.group).id } : source;
    return { protocol, from, to, source: seen, description };
  }

  #loadBalancer({ id, name }: Ref): LoadBalancer {
    return found(this.loadBalancers, (one) => (id === undefined ? one.name === name : one.arn === id), name);
  }

  #group({ id, name }: Ref): Group {
    return found(this.groups, (one) => (id === undefined ? one.name === name : one.arn === id), name);
  }

  #securityGroup({ id, name }: Ref): SecurityGroup {
    return found(this.securityGroups, (one) => (id === undefined ? one.name === name : one.id === id), name);
  }

  #listener({ loadBalancer, port, arn }: ListenerRef): [LoadBalancer, Listener] {
    const one = this.#loadBalancer(loadBalancer);
    const isIt = (each: Listener) => (arn === undefined ? each.port === port : each.arn === arn);
    return [one, found(one.listeners, isIt, `${loadBalancer.name}:${port}`)];
  }

  #tagged(on: Extract<Act, { readonly on: unknown }>['on']): { tags: Record<string, string> } {
    if ('loadBalancer' in on) return this.#loadBalancer(on.loadBalancer);
    return 'targetGroup' in on ? this.#group(on.targetGroup) : this.#listener(on.listener)[1];
  }
}

function found<T>(all: readonly T[], isIt: (one: T) => boolean, name: string): T {
  const one = all.find(isIt);
  assert.ok(one !== undefined, `${name} does not exist`);
  return one;
}

/** Later changes of the cloud must not show in what was observed. */
function structuredCloneKeepingMaps(observed: Observed): Observed {
  const { shared, facts, ...rest } = observed;
  const { needs, ...others } = shared;
  return { ...structuredClone(rest), facts, shared: { ...structuredClone(others), needs } };
}
