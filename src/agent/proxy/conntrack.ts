import type { ConntrackEntry } from '../../core/net/conntrack.ts';
import type { Registers, TableFamily } from '../../core/net/element.ts';
import type { Clock, Log } from '../../core/provider.ts';
import type { Planner, StaleFlows } from '../../core/proxy/model.ts';
import {
  ADDRESS_BYTES,
  addressAt,
  parseAddress,
  portAt,
  portRegisters,
  protocolRegisters,
} from '../../core/proxy/registers.ts';
import type { ConntrackChannel } from '../netlink/channel.ts';

export interface FlowsOptions {
  readonly channel: ConntrackChannel;
  readonly planners: readonly Planner[];
  readonly clock: Clock;
  readonly log: Log;
  readonly cleaned: (family: TableFamily, seconds: number, deleted: number) => void;
}

/** UDP clients keep their tracked flow, and with it their endpoint, for as long as they go on sending. */
export interface Flows {
  /** Removes flows of frontends whose endpoints left. Returns at once. */
  stale(family: TableFamily, flows: readonly StaleFlows[]): void;
  /** Removes every flow to a frontend of ours that leads nowhere (kube-proxy's CleanStaleEntries). Returns at once. */
  reconcile(): void;
  /** Resolves when all that was asked for is done. */
  settled(): Promise<void>;
}

const UDP = 17;
/** The kernel walks its whole table for each look at one frontend: for more of them one look at all costs less. */
const MOST_SINGLE = 8;
const UDP_KEY = protocolRegisters('udp');

export function createFlows({ channel, planners, clock, log, cleaned }: FlowsOptions): Flows {
  const waiting = new Map<string, { readonly family: TableFamily; readonly flows: StaleFlows }>(); // frontend -> newest
  let wantsAll = false;
  let work: Promise<void> | undefined;

  async function clean(family: TableFamily, entries: () => Promise<readonly ConntrackEntry[]>): Promise<void> {
    const startMs = clock.monotonicMs();
    const found = await entries();
    const deleted = found.length === 0 ? 0 : await channel.delete(found);
    cleaned(family, (clock.monotonicMs() - startMs) / 1000, deleted);
    if (deleted > 0) log.debug({ family, deleted }, 'flows to endpoints that are gone removed');
  }

  async function one(family: TableFamily, { frontend, serving }: StaleFlows): Promise<void> {
    const bytes = ADDRESS_BYTES[family];
    const filter = {
      family: nameOf(family),
      protocol: UDP,
      destination: addressAt(frontend, 0, family),
      destinationPort: portAt(frontend, bytes + 4),
    };
    const stay = new Set(serving);
    await clean(family, async () => (await channel.dump(filter)).filter((entry) => !stay.has(targetOf(entry))));
  }

  async function all(planner: Planner): Promise<void> {
    const { family } = planner;
    await clean(family, async () => {
      const entries = await channel.dump({ family: nameOf(family), protocol: UDP });
      return entries.filter((entry) => {
        const stay = servingOf(planner, frontendOf(entry));
        return stay !== undefined && !stay.includes(targetOf(entry));
      });
    });
  }

  async function run(): Promise<void> {
    try {
      while (wantsAll || waiting.size > 0) {
        if (wantsAll) {
          wantsAll = false;
          for (const planner of planners) await all(planner);
          continue;
        }
        for (const [key, { family, flows }] of waiting) {
          waiting.delete(key);
          await one(family, flows);
        }
      }
    } catch (error) {
      // Flows run out by themselves; the next change of the Service, or the hourly look, tries again.
      log.warn({ err: error }, 'tracked flows could not be cleaned');
    } finally {
      work = undefined;
    }
  }

  function begin(): void {
    work ??= run();
  }

  return {
    stale(family, flows) {
      for (const one of flows) waiting.set(`${family} ${one.frontend}`, { family, flows: one });
      if (waiting.size > MOST_SINGLE) {
        waiting.clear();
        wantsAll = true;
      }
      begin();
    },
    reconcile() {
      wantsAll = true;
      begin();
    },
    async settled() {
      while (work !== undefined) await work;
    },
  };
}

/** Who may answer at this frontend; undefined: it is none of ours, or nobody serves and kube-proxy leaves it alone. */
function servingOf(planner: Planner, frontend: Registers | undefined): readonly Registers[] | undefined {
  const owner = frontend === undefined ? undefined : planner.ownerOf(frontend);
  const ports = owner === undefined ? undefined : planner.model(owner)?.[planner.family];
  const serving = ports?.find(({ frontends }) => frontends.some(({ key }) => key === frontend))?.serving;
  return serving === undefined || serving.length === 0 ? undefined : serving;
}

const nameOf = (family: TableFamily): 'ipv4' | 'ipv6' => (family === 'ip' ? 'ipv4' : 'ipv6');

function frontendOf({ original }: ConntrackEntry): Registers | undefined {
  const address = parseAddress(original.destination);
  return address === undefined ? undefined : `${address}${UDP_KEY}${portRegisters(original.destinationPort)}`;
}

/** Where the answers come from: the endpoint, or the frontend itself where nothing was translated. */
const targetOf = ({ reply }: ConntrackEntry): Registers =>
  `${parseAddress(reply.source) ?? ''}${portRegisters(reply.sourcePort)}`;
