import { formatBlock, parseBlock } from '../../../core/net/cidr.ts';
import type { Claim, Rules } from '../admit.ts';
import { duplicate, type FieldError, invalid, notAllowed, required, unsupported } from '../invalid.ts';
import type { Draft } from '../json.ts';
import { labelValue, qualifiedName } from '../words.ts';
import { keepOther } from './plain.ts';

interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
  readonly timeAdded?: string;
}
interface NodeDraft extends Draft {
  spec: { podCIDR?: string; podCIDRs?: string[]; providerID?: string; unschedulable?: boolean; taints?: Taint[] };
  status: {
    capacity?: Record<string, string>;
    allocatable?: Record<string, string>;
    addresses?: readonly { readonly type: string; readonly address: string }[];
  };
}

/** Hands out one pod CIDR per family and node; undefined when there is none left. */
export interface PodCidrs {
  take(): readonly string[] | undefined;
  /** Keeps what a node brought itself from being given; answers with those that nobody held. */
  hold(cidrs: readonly string[]): readonly string[];
  give(cidrs: readonly string[]): void;
}

const notReady: Taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };

/** `podCidrs`: given to nodes that bring none, as kube-controller-manager's --allocate-node-cidrs does. */
export function nodeRules(podCidrs?: PodCidrs): Rules {
  return {
    fields: { 'spec.unschedulable': (object) => String((object as NodeDraft).spec.unschedulable === true) },
    defaults(draft) {
      const { spec, status } = draft as NodeDraft;
      if (status.capacity !== undefined) status.allocatable ??= { ...status.capacity };
      // podCIDR is the first of podCIDRs, whichever of both the client knows.
      if (spec.podCIDR !== undefined && spec.podCIDRs === undefined) spec.podCIDRs = [spec.podCIDR];
      else if (spec.podCIDRs?.[0] !== undefined) spec.podCIDR = spec.podCIDRs[0];
    },
    prepareCreate(draft) {
      const { spec } = draft as NodeDraft;
      // The admission plug-in TaintNodesByCondition: nothing is scheduled before the node says that it is ready.
      const taints = spec.taints ?? [];
      if (!taints.some(({ key, effect }) => key === notReady.key && effect === notReady.effect))
        spec.taints = [...taints, { ...notReady }];
    },
    allocate: (draft, old, { part }) =>
      part === '' ? claimCidrs(draft as NodeDraft, old as NodeDraft | undefined, podCidrs) : unclaimed,
    prepareUpdate: keepOther,
    validate: (draft, old) => nodeErrors(draft as NodeDraft, old as NodeDraft | undefined),
    release: (object) => podCidrs?.give((object as NodeDraft).spec.podCIDRs ?? []),
  };
}

const unclaimed: Claim = { commit() {}, undo() {} };

function claimCidrs(node: NodeDraft, old: NodeDraft | undefined, podCidrs: PodCidrs | undefined): Claim {
  if (podCidrs === undefined || old?.spec.podCIDRs !== undefined) return unclaimed;
  const { spec } = node;
  const held =
    spec.podCIDRs !== undefined ? podCidrs.hold(spec.podCIDRs) : old === undefined ? podCidrs.take() : undefined;
  if (held === undefined) return unclaimed;
  if (spec.podCIDRs === undefined) {
    spec.podCIDRs = [...held];
    spec.podCIDR = held[0] as string;
  }
  return { commit() {}, undo: () => podCidrs.give(held) };
}

function nodeErrors({ spec, status }: NodeDraft, old: NodeDraft | undefined): readonly FieldError[] {
  const errors: FieldError[] = [...taintErrors(spec.taints ?? [])];
  for (const [index, cidr] of (spec.podCIDRs ?? []).entries()) {
    const block = parseBlock(cidr);
    if (block === undefined || !cidr.includes('/'))
      errors.push(
        invalid(`spec.podCIDRs[${index}]`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'),
      );
    else if (formatBlock(block).split('/')[0] !== cidr.split('/')[0])
      errors.push(invalid(`spec.podCIDRs[${index}]`, cidr, 'must not have bits set beyond the prefix length'));
  }
  if ((spec.podCIDRs ?? []).length > 2)
    errors.push(invalid('spec.podCIDRs', spec.podCIDRs, 'may specify no more than one CIDR for each IP family'));
  if (old === undefined) return errors;
  const seen = new Set<string>();
  for (const [index, address] of (status.addresses ?? []).entries()) {
    const key = `${address.type} ${address.address}`;
    if (seen.has(key)) errors.push(duplicate(`status.addresses[${index}]`, address));
    seen.add(key);
  }
  const held = old.spec.podCIDRs ?? [];
  if (
    held.length > 0 &&
    (held.length !== (spec.podCIDRs ?? []).length || held.some((cidr, index) => cidr !== spec.podCIDRs?.[index]))
  )
    errors.push(notAllowed('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
  if (old.spec.providerID !== undefined && spec.providerID !== old.spec.providerID)
    errors.push(invalid('spec.providerID', undefined, 'field cannot be modified once set'));
  return errors;
}

function taintErrors(taints: readonly Taint[]): readonly FieldError[] {
  const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
  const seen = new Set<string>();
  return taints.flatMap((taint, index) => {
    const field = `metadata.taints[${index}]`;
    const { key, value = '', effect } = taint;
    const errors: FieldError[] = qualifiedName(key).map((message) => invalid(`${field}.key`, key, message));
    for (const message of labelValue(value)) errors.push(invalid(`${field}.value`, value, message));
    if (effect === '') errors.push(required(`${field}.effect`));
    else if (!effects.includes(effect)) errors.push(unsupported(`${field}.effect`, effect, effects));
    if (seen.has(`${effect} ${key}`)) {
      // The server prints its internal struct.
      const problem = duplicate(field, { Key: key, Value: value, Effect: effect, TimeAdded: taint.timeAdded ?? null });
      errors.push({ ...problem, message: `${problem.message}: taints must be unique by key and effect pair` });
    }
    seen.add(`${effect} ${key}`);
    return errors;
  });
}
