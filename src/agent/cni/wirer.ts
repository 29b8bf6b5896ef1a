import type { Dumped } from '../../core/cni/check.ts';
import type { PlanReport, PlanStep } from '../../core/cni/frames.ts';
import { SHIM_NETNS_FD, type Wiring, type WiringStep, wiringSteps } from '../../core/cni/wiring.ts';
import { messagesOf } from '../../core/net/netlink.ts';
import type { AddressRecord, LinkRecord, RouteMessage, RouteRecord } from '../../core/net/rtnetlink.ts';
import { decodeRouteMessage } from '../../core/net/rtnetlink-decode.ts';
import { encodeRouteBatch, encodeRouteDump } from '../../core/net/rtnetlink-encode.ts';

/** Who works in two namespaces for one call. */
export interface Wirer {
  wire(wiring: Wiring): Promise<WireOutcome>;
  /** What the pod's namespace has; undefined: the shim is gone. */
  dumpPod(netns: string): Promise<Dumped | Refused | undefined>;
}

/** Of a refused one, some messages may have been carried out: those before, and those after in the same batch. */
export type WireOutcome = { readonly kind: 'done' } | Refused | { readonly kind: 'lost' };
export interface Refused {
  readonly kind: 'refused';
  readonly errno: number;
  /** The kernel's or the program's own words. */
  readonly words?: string;
  /** For people: 'newAddress 10.64.1.2 in the pod'. */
  readonly what: string;
  /** It was the message that makes the link: nothing was changed at all. */
  readonly isFirst: boolean;
}

/** By the C shim: one plan, one report. `exchange` gives undefined when the connection is gone. */
export function shimWirer(exchange: (steps: readonly PlanStep[]) => Promise<PlanReport | undefined>): Wirer {
  return {
    async wire(wiring) {
      const steps = wiringSteps(wiring, SHIM_NETNS_FD);
      const report = await exchange(planOf(steps, wiring.link.name));
      if (report === undefined) return { kind: 'lost' };
      if (report.failedStep === undefined) return { kind: 'done' };
      // The plan has one step more than the wiring: `undo`, the second.
      const at = report.failedStep === 0 ? 0 : report.failedStep - 1;
      const step = steps[at];
      return { kind: 'refused', errno: report.errno, what: whatOf(step, report.seq), isFirst: at === 0 };
    },
    async dumpPod() {
      const kinds = ['links', 'addresses', 'routes'] as const;
      const report = await exchange(
        kinds.map((kind, at) => ({ kind: 'dump', where: 'pod', bytes: encodeRouteDump(kind, at + 1) })),
      );
      if (report === undefined) return undefined;
      if (report.failedStep === undefined) return decodeDumps(report.dumps);
      const what = `reading the ${kinds[report.failedStep] ?? 'state'} of the pod`;
      return { kind: 'refused', errno: report.errno, what, isFirst: false };
    },
  };
}

/** As the shim gets it; after the first step it knows how to take the link away again, should we die. */
export function planOf(steps: readonly WiringStep[], link: string): readonly PlanStep[] {
  const [first, ...rest] = steps.map((step): PlanStep => {
    if (step.kind === 'sysctl') return step;
    return { kind: 'send', where: step.where, bytes: encodeRouteBatch(step.messages, 1) };
  });
  // By name: the index, too, is ours, but a name that is a hash of the attachment says it.
  const undo = encodeRouteBatch([{ kind: 'deleteLink', link: { name: link } }], 1);
  return first === undefined ? [] : [first, { kind: 'undo', bytes: undo }, ...rest];
}

function whatOf(step: WiringStep | undefined, seq: number): string {
  if (step === undefined) return 'a step that is not in the plan';
  const where = step.where === 'host' ? 'on the host' : 'in the pod';
  if (step.kind === 'sysctl') return `${step.name} = ${step.value} ${where}`;
  return `${messageText(step.messages[seq - 1])} ${where}`;
}

/** A message in a few words, for errors. */
export function messageText(message: RouteMessage | undefined): string {
  switch (message?.kind) {
    case undefined:
      return 'sending';
    case 'newLink':
      return `newLink ${message.name}`;
    case 'setLink':
    case 'deleteLink':
      return `${message.kind} ${message.link.name ?? message.link.index}`;
    case 'newAddress':
    case 'deleteAddress':
      return `${message.kind} ${message.address}/${message.prefixLength}`;
    case 'newRoute':
    case 'deleteRoute':
      return `${message.kind} ${message.destination}`;
    default:
      return message satisfies never;
  }
}

function decodeDumps(dumps: readonly Uint8Array[]): Dumped {
  const links: LinkRecord[] = [];
  const addresses: AddressRecord[] = [];
  const routes: RouteRecord[] = [];
  for (const dump of dumps)
    for (const message of messagesOf(dump)) {
      const record = decodeRouteMessage(dump, message);
      if (record?.kind === 'link') links.push(record.link);
      else if (record?.kind === 'address') addresses.push(record.address);
      else if (record?.kind === 'route') routes.push(record.route);
    }
  return { links, addresses, routes };
}
